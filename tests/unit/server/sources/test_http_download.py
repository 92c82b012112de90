"""Downloads by http: resumed, bounded, checked, and never half visible, whatever the other side does."""

from __future__ import annotations

import errno
import os
import shutil
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from atheria_server.sources.digest import digest_of
from atheria_server.sources.errors import NotReachableError, UnusableSourceError
from atheria_server.sources.http_remote import _Redirects
from atheria_server.sources.limits import DownloadLimits, limits_from
from atheria_server.sources.progress import Transfer
from atheria_server.sources.resolve import ResolvedSource, resolve

DATA = os.urandom(3 << 20)


class Usage(NamedTuple):
    """As shutil gives it."""

    total: int
    used: int
    free: int


@pytest.fixture
def get(file_server: Any, tmp_path: Path, limits: DownloadLimits, reports: list[Transfer]) -> Any:
    def _get(path: str = "/m.pt2?token=hidden", **options: Any) -> ResolvedSource:
        given = {"limits": limits, **options}
        return resolve(
            file_server.url + path, cache_directory=tmp_path / "cache", progress=reports.append, **given
        )

    return _get


@pytest.fixture
def file(file_server: Any, remote: Any) -> Any:
    served = file_server.files["/m.pt2?token=hidden"] = remote(DATA)
    return served


def kept(tmp_path: Path) -> list[str]:
    """What the cache holds beside locks."""
    return sorted(p.name for p in (tmp_path / "cache" / "sources").iterdir() if p.suffix != ".lock")


def test_a_file_arrives_whole_once_and_is_there_the_second_time(
    get: Any, file: Any, file_server: Any, reports: list[Transfer]
) -> None:
    first = get()
    assert first.path.name == "m.pt2"
    assert first.path.read_bytes() == DATA
    assert first.downloaded_bytes == len(DATA)
    second = get()
    assert (second.path, second.downloaded_bytes) == (first.path, 0)
    assert file_server.sent == len(DATA)
    assert [(r.state, r.done_bytes, r.total_bytes) for r in reports] == [
        ("downloading", 0, len(DATA)),
        ("done", len(DATA), len(DATA)),
    ]
    assert "hidden" not in reports[0].source


def test_a_dropped_connection_is_continued_where_it_ended(get: Any, file: Any, file_server: Any) -> None:
    file.drop_after = [1 << 20, 1 << 20]
    assert get().path.read_bytes() == DATA
    assert file_server.sent == len(DATA)  # not a byte was sent twice
    assert file_server.ranges == ["", f"bytes={1 << 20}-", f"bytes={2 << 20}-"]


def test_an_interrupted_download_is_continued_by_the_next_process(
    get: Any, file: Any, file_server: Any, tmp_path: Path, limits: DownloadLimits, reports: list[Transfer]
) -> None:
    file.drop_after = [1 << 20]
    with pytest.raises(NotReachableError, match="after 1 tries"):
        get(limits=replace(limits, attempts=1))
    assert all(name.endswith(".partial") for name in kept(tmp_path))
    assert get().path.read_bytes() == DATA
    assert file_server.sent == len(DATA)
    assert reports[-2].state == "resuming"
    assert reports[-2].done_bytes == 1 << 20


def test_a_server_that_knows_no_ranges_serves_too(get: Any, file: Any, file_server: Any) -> None:
    file.has_ranges = False
    file.drop_after = [1 << 20]
    assert get().path.read_bytes() == DATA
    assert file_server.sent >= len(DATA) + (1 << 20)


def test_a_server_that_tells_no_size_serves_too(get: Any, file: Any) -> None:
    file.has_ranges, file.is_chunked = False, True
    assert get().path.read_bytes() == DATA


def test_an_empty_file_arrives(get: Any, file: Any) -> None:
    file.data = b""
    assert get().path.read_bytes() == b""


def test_a_server_that_stalls_is_given_up(get: Any, file: Any, limits: DownloadLimits) -> None:
    file.stall_after = [1000, 1000, 1000]
    with pytest.raises(NotReachableError) as error:
        get(limits=replace(limits, stall_seconds=0.2, attempts=1))
    assert "no byte came for 0.2 s" in str(error.value)


def test_a_server_that_stalls_once_is_continued(
    get: Any, file: Any, file_server: Any, limits: DownloadLimits
) -> None:
    file.stall_after = [1 << 20]
    assert get(limits=replace(limits, stall_seconds=0.5)).path.read_bytes() == DATA
    assert file_server.sent == len(DATA)


def test_a_download_that_never_gets_further_ends(get: Any, file: Any) -> None:
    file.drop_after = [0] * 10
    with pytest.raises(NotReachableError, match="after 3 tries"):
        get()


def test_a_download_that_takes_too_long_ends_and_keeps_its_bytes(
    get: Any, file: Any, tmp_path: Path, limits: DownloadLimits
) -> None:
    with pytest.raises(NotReachableError, match="ATHERIA_SOURCE_SECONDS"):
        get(limits=replace(limits, total_seconds=0.0))
    assert kept(tmp_path)


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "no such file"), (403, "signature expired"), (401, "credentials"), (410, "gone")],
)
def test_a_refusal_is_told_at_once_without_what_is_secret(
    get: Any, file: Any, file_server: Any, status: int, words: str
) -> None:
    file.status = status
    with pytest.raises(NotReachableError) as error:
        get()
    assert f"answered {status}" in str(error.value)
    assert words in str(error.value)
    assert "hidden" not in str(error.value)
    assert len(file.headers) == 1


def test_a_busy_server_is_asked_again(get: Any, file: Any) -> None:
    file.status = 503
    with pytest.raises(NotReachableError, match=r"after 3 tries.*503"):
        get()
    assert len(file.headers) == 3


def test_nobody_at_the_address_is_told(tmp_path: Path, limits: DownloadLimits) -> None:
    with pytest.raises(NotReachableError, match="refused"):
        resolve("http://127.0.0.1:9/x.pt2", cache_directory=tmp_path, limits=limits)


def test_a_file_that_changes_while_it_is_downloaded_is_begun_again(
    get: Any, file: Any, file_server: Any
) -> None:
    other = os.urandom(2 << 20)
    file.drop_after = [1 << 20]

    def change() -> None:
        if file_server.sent:
            file.data, file.tag = other, '"2"'

    file.on_read = change
    assert get().path.read_bytes() == other


def test_a_file_that_changed_since_an_interrupted_download_is_begun_again(
    get: Any, file: Any, limits: DownloadLimits
) -> None:
    file.drop_after = [1 << 20]
    with pytest.raises(NotReachableError):
        get(limits=replace(limits, attempts=1))
    file.data, file.tag = b"new" * 1000, '"2"'
    assert get().path.read_bytes() == file.data


def test_a_file_that_never_stays_the_same_is_given_up(get: Any, file: Any) -> None:
    changes = iter(range(100))

    def change() -> None:
        file.tag = f'"changed {next(changes)}"'

    file.on_read = change
    with pytest.raises(NotReachableError, match="changed 3 times"):
        get()


def test_a_new_version_is_downloaded_beside_the_old_one(get: Any, file: Any) -> None:
    old = get().path
    file.data, file.tag = b"new", '"2"'
    new = get().path
    assert (old.read_bytes(), new.read_bytes()) == (DATA, b"new")


def test_a_file_without_a_version_needs_a_digest(get: Any, file: Any, tmp_path: Path) -> None:
    file.tag = ""
    with pytest.raises(UnusableSourceError, match="give the digest"):
        get()
    (tmp_path / "same").write_bytes(DATA)
    assert get(digest=digest_of(tmp_path / "same")).path.read_bytes() == DATA


def test_a_wrong_digest_is_refused_and_nothing_stays(get: Any, file: Any, tmp_path: Path) -> None:
    with pytest.raises(UnusableSourceError, match="has digest sha256:"):
        get(digest="sha256:" + "0" * 64)
    assert kept(tmp_path) == []


def test_with_a_digest_a_file_that_is_there_needs_no_server(get: Any, file: Any, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(DATA)
    digest = digest_of(tmp_path / "same")
    path = get(digest=digest).path
    asked = len(file.headers)
    assert get(digest=digest).path == path
    assert len(file.headers) == asked
    path.write_bytes(b"somebody else's")
    with pytest.raises(UnusableSourceError, match="has digest"):
        get(digest=digest)


def test_a_file_larger_than_allowed_is_refused_before_it_comes(
    get: Any, file: Any, file_server: Any, limits: DownloadLimits
) -> None:
    with pytest.raises(UnusableSourceError, match="ATHERIA_SOURCE_MAX_BYTES"):
        get(limits=replace(limits, max_bytes=1 << 20))
    assert file_server.sent == 0


def test_a_file_of_unknown_size_is_stopped_at_the_limit(get: Any, file: Any, limits: DownloadLimits) -> None:
    file.has_ranges, file.is_chunked = False, True
    with pytest.raises(UnusableSourceError, match="ATHERIA_SOURCE_MAX_BYTES"):
        get(limits=replace(limits, max_bytes=1 << 20))


def test_a_disk_that_is_too_small_is_told_before_anything_comes(
    get: Any, file: Any, file_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 10, len(DATA) - 1))
    with pytest.raises(UnusableSourceError, match=f"no space left.*{len(DATA)} bytes"):
        get()
    assert file_server.sent == 0


def test_a_disk_that_fills_up_is_told_and_given_back(
    get: Any, file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnusableSourceError, match="larger volume"):
        get()
    assert kept(tmp_path) == []


def test_a_redirect_is_followed(get: Any, file: Any, file_server: Any, remote: Any) -> None:
    file_server.files["/moved"] = remote(b"", redirect="/m.pt2?token=hidden")
    assert get("/moved").path.read_bytes() == DATA


def test_a_redirect_out_of_tls_is_refused() -> None:
    request = urllib.request.Request("https://h/a.pt2?token=hidden")
    with pytest.raises(NotReachableError, match="not encrypted") as error:
        _Redirects().redirect_request(request, None, 302, "Found", {}, "http://h/a.pt2")
    assert "hidden" not in str(error.value)


def test_limits_come_from_the_environment() -> None:
    found = limits_from({"ATHERIA_SOURCE_MAX_BYTES": "1e6", "ATHERIA_SOURCE_SECONDS": "7"})
    assert (found.max_bytes, found.total_seconds, found.wait_seconds) == (1_000_000, 7.0, 7.0)
    with pytest.raises(UnusableSourceError, match="ATHERIA_SOURCE_STALL_SECONDS is 'soon'"):
        limits_from({"ATHERIA_SOURCE_STALL_SECONDS": "soon"})
