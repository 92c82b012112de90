"""The chart's profiles: read from files, applied once the definition is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from atheria_contract import names
from atheria_operator import install_profiles
from atheria_operator.install_profiles import ProfileFileError, apply_profiles, read_profiles

GOOD = f"kind: {names.PROFILE_KIND}\nmetadata: {{name: cpu}}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Pod\nmetadata: {name: x}\n", "kind is 'Pod'"),
        ("- a\n", "kind is 'list'"),
        (f"kind: {names.PROFILE_KIND}\n", "metadata.name is missing"),
    ],
)
def test_a_file_that_is_no_profile_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ProfileFileError, match=r"a\.yaml") as refused:
        read_profiles(tmp_path)
    assert words in str(refused.value)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProfileFileError, match=r"no \*\.yaml file"):
        read_profiles(tmp_path)


class Api:
    """Answers with the given statuses, then takes everything."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.applied: list[str] = []

    def patch_cluster_custom_object(
        self, _: str, __: str, ___: str, name: str, *____: Any, **_____: Any
    ) -> None:
        if self.statuses:
            raise client.ApiException(status=self.statuses.pop(0))
        self.applied.append(name)


def apply(api: Any, tmp_path: Path, timeout_seconds: float) -> None:
    (tmp_path / "cpu.yaml").write_text(GOOD, encoding="utf-8")
    apply_profiles(api, read_profiles(tmp_path), timeout_seconds=timeout_seconds)


def test_a_definition_that_comes_later_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_profiles, "_RETRY_SECONDS", 0.0)
    api = Api(404, 503)
    apply(api, tmp_path, 60)
    assert api.applied == ["cpu"]


def test_a_refused_profile_is_raised_at_once_and_absence_after_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_profiles, "_RETRY_SECONDS", 0.0)
    with pytest.raises(client.ApiException):
        apply(Api(422), tmp_path, 60)
    with pytest.raises(TimeoutError, match=r"crds\.enabled"):
        apply(Api(*[404] * 100_000), tmp_path, 0)
