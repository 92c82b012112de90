"""Repositories of a hub, only from a mirror that is configured, and never a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atheria_server.sources.errors import NotReachableError, UnusableSourceError
from atheria_server.sources.limits import DownloadLimits
from atheria_server.sources.resolve import resolve


def serve(file_server: Any, remote: Any, names: dict[str, bytes]) -> None:
    listing = {"sha": "abc", "siblings": [{"rfilename": name} for name in names]}
    file_server.files["/api/models/team/nca/revision/v1"] = remote(json.dumps(listing).encode())
    for name, data in names.items():
        file_server.files[f"/team/nca/resolve/abc/{name}"] = remote(data)


def test_the_weights_of_a_repository_come_without_its_pickles(
    file_server: Any,
    remote: Any,
    tmp_path: Path,
    limits: DownloadLimits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", file_server.url)
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    serve(
        file_server,
        remote,
        {
            "config.json": b"{}",
            "model.safetensors": b"1",
            "pytorch_model.bin": b"evil",
            "README.md": b"",
        },
    )
    found = resolve("hf://team/nca@v1", cache_directory=tmp_path, limits=limits).path
    assert sorted(path.name for path in found.iterdir()) == ["config.json", "model.safetensors"]
    asked = file_server.files["/team/nca/resolve/abc/model.safetensors"].headers
    assert asked[0]["authorization"] == "Bearer hunter2"


def test_without_a_mirror_nothing_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(UnusableSourceError, match="HF_ENDPOINT"):
        resolve("hf://team/nca", cache_directory=tmp_path)


@pytest.mark.parametrize("text", [b"<html>", b"[]", b"{}", b"[" * 5_000])
def test_a_mirror_that_does_not_answer_as_a_hub_is_named(
    text: bytes,
    file_server: Any,
    remote: Any,
    tmp_path: Path,
    limits: DownloadLimits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", file_server.url)
    file_server.files["/api/models/team/nca/revision/v1"] = remote(text)
    with pytest.raises(NotReachableError, match="did not answer with a list of files; check HF_ENDPOINT"):
        resolve("hf://team/nca@v1", cache_directory=tmp_path, limits=limits)


def test_the_token_does_not_follow_a_redirect(
    file_server: Any,
    remote: Any,
    tmp_path: Path,
    limits: DownloadLimits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", file_server.url)
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    serve(file_server, remote, {"model.safetensors": b"1"})
    file_server.files["/team/nca/resolve/abc/model.safetensors"].redirect = "/elsewhere"
    elsewhere = file_server.files["/elsewhere"] = remote(b"1")
    resolve("hf://team/nca@v1", cache_directory=tmp_path, limits=limits)
    assert elsewhere.headers
    assert not any("authorization" in asked for asked in elsewhere.headers)


def test_a_repository_of_pickles_is_refused(
    file_server: Any, remote: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", file_server.url)
    serve(file_server, remote, {"pytorch_model.bin": b"evil"})
    with pytest.raises(NotReachableError, match=r"no \.safetensors"):
        resolve("hf://team/nca@v1", cache_directory=tmp_path)
