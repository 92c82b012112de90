"""Compiled code is published once, used again only if it is exactly what was published, and never in the way of serving."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atheria_contract.optimization import CacheConfig
from atheria_server.core.compile_key import CompileFacts, compile_key
from atheria_server.optimize.compiling import entry
from atheria_server.optimize.compiling.cache import KEPT_ENTRIES, CacheReport, CompileCache
from atheria_server.optimize.compiling.lease import Lease
from atheria_server.optimize.compiling.manifest import sign

CODE = {"torch/ab/kernel.so": b"\x7fELF kernel", "packages/law.pt2": b"PK package"}
SECRET = b"a secret of enough bytes"
SECONDS = 40.0
"""That the first pod says it compiled for."""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache sets them for the whole process: give them back."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/nowhere")
    monkeypatch.setenv("TRITON_CACHE_DIR", "/nowhere")


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self, on_sleep: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self._on_sleep = on_sleep

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._on_sleep()


def start(
    config: CacheConfig, facts: CompileFacts, *, clock: Clock | None = None, wait_seconds: float = 10
) -> tuple[CacheReport, dict[str, bytes]]:
    """A pod's start: compile what is not there. What it then has, and the report."""
    clock = clock or Clock()
    with CompileCache(
        config, facts, wait_seconds=wait_seconds, stale_seconds=5, clock=clock, sleep=clock.sleep
    ) as cache:
        if cache.report.state != "hit":
            for name, data in CODE.items():
                path = cache.directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        report = cache.finish(1.0 if cache.report.state == "hit" else SECONDS)
        found = {
            path.relative_to(cache.directory).as_posix(): path.read_bytes()
            for path in cache.directory.rglob("*")
            if path.is_file()
        }
    return report, found


def entry_of(config: CacheConfig, facts: CompileFacts) -> Path:
    return Path(config.directory) / "compiled" / compile_key(facts)


def names_in(config: CacheConfig) -> list[str]:
    return sorted(path.name for path in (Path(config.directory) / "compiled").iterdir())


def test_the_first_pod_publishes_and_the_second_unpacks_the_same_files(
    secret_config: CacheConfig, facts: CompileFacts
) -> None:
    first, made = start(secret_config, facts)
    assert (first.state, first.published, first.why) == ("miss", True, "")
    second, unpacked = start(secret_config, facts)
    assert (second.state, second.published, second.why) == ("hit", False, "")
    assert made == unpacked == CODE
    assert second.saved_seconds == SECONDS - 1.0
    assert names_in(secret_config) == [compile_key(facts)]


def test_torch_works_in_a_private_folder_that_nobody_else_can_read(
    secret_config: CacheConfig, facts: CompileFacts
) -> None:
    with CompileCache(secret_config, facts, wait_seconds=0) as cache:
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"].startswith(str(cache.directory))
        assert os.environ["TRITON_CACHE_DIR"].startswith(str(cache.directory))
        assert cache.directory.parent.stat().st_mode & 0o777 == 0o700
        assert secret_config.directory not in str(cache.directory)


def test_other_facts_have_an_entry_of_their_own(secret_config: CacheConfig, facts: CompileFacts) -> None:
    start(secret_config, facts)
    report, _ = start(secret_config, replace(facts, architecture="x86_64 AVX512 9"))
    assert (report.state, report.published) == ("miss", True)
    assert len(names_in(secret_config)) == 2


def _truncated(path: Path, _facts: CompileFacts) -> None:
    content = path / entry.CONTENT
    content.write_bytes(content.read_bytes()[:700])


def _changed_byte(path: Path, _facts: CompileFacts) -> None:
    content = path / entry.CONTENT
    content.write_bytes(content.read_bytes().replace(b"ELF kernel", b"ELF KERNEL"))


def _unlisted_file(path: Path, _facts: CompileFacts) -> None:
    with tarfile.open(path / entry.CONTENT, "a:") as archive:
        archive.addfile(tarfile.TarInfo("torch/evil.so"), io.BytesIO())


def _link(path: Path, _facts: CompileFacts) -> None:
    """In place of a listed file."""
    with tarfile.open(path / entry.CONTENT, "w:") as archive:
        member = tarfile.TarInfo("packages/law.pt2")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)


def _no_content(path: Path, _facts: CompileFacts) -> None:
    (path / entry.CONTENT).unlink()


def _no_signature(path: Path, _facts: CompileFacts) -> None:
    (path / entry.SIGNATURE).unlink()


def _other_key(path: Path, _facts: CompileFacts) -> None:
    text = (path / entry.MANIFEST).read_bytes()
    (path / entry.SIGNATURE).write_text(sign(text, b"the secret of somebody else"))


def _changed_manifest(path: Path, _facts: CompileFacts) -> None:
    manifest = path / entry.MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"40.0", b"90.0"))


def _signed_again(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """As somebody who has the key could."""
    document = json.loads((path / entry.MANIFEST).read_text())
    change(document)
    _signed_text(path, json.dumps(document).encode())


def _signed_text(path: Path, text: bytes) -> None:
    (path / entry.MANIFEST).write_bytes(text)
    (path / entry.SIGNATURE).write_text(sign(text, SECRET))


def _outside(path: Path, _facts: CompileFacts) -> None:
    _signed_again(path, lambda document: document["files"][0].update(path="../../outside"))


def _too_large(path: Path, _facts: CompileFacts) -> None:
    _signed_again(path, lambda document: document["files"][0].update(size_bytes=2**50))


def _other_cpu(path: Path, facts: CompileFacts) -> None:
    """A whole entry of another CPU under this one's name."""
    _signed_again(path, lambda document: document["facts"].update(architecture="x86_64 AVX512 9"))


def _other_format(path: Path, _facts: CompileFacts) -> None:
    _signed_again(path, lambda document: document.update(format=99))


def _no_json(path: Path, _facts: CompileFacts) -> None:
    _signed_text(path, b"\x00 not json")


def _nested_too_deep(path: Path, _facts: CompileFacts) -> None:
    _signed_text(path, b"[" * 100_000)


def _too_long_a_number(path: Path, _facts: CompileFacts) -> None:
    _signed_again(path, lambda document: document.update(warm_seconds=10**400))


DAMAGES: list[tuple[Callable[[Path, CompileFacts], None], str]] = [
    (_truncated, "content"),
    (_changed_byte, "another digest"),
    (_unlisted_file, "torch/evil.so"),
    (_link, "packages/law.pt2"),
    (_no_content, "lacks content.tar"),
    (_no_signature, "no signature"),
    (_other_key, "signature"),
    (_changed_manifest, "signature"),
    (_outside, "../../outside"),
    (_too_large, "at most"),
    (_other_cpu, "architecture is 'x86_64 AVX512 9', here it is 'x86_64 AVX2 0123'"),
    (_other_format, "format 99"),
    (_no_json, "cannot be read"),
    (_nested_too_deep, "cannot be read"),
    (_too_long_a_number, "cannot be read"),
]


@pytest.mark.parametrize(("damage", "word"), DAMAGES, ids=[d[0].__name__.strip("_") for d in DAMAGES])
def test_an_entry_that_is_not_what_was_published_is_never_used_and_replaced(
    secret_config: CacheConfig,
    facts: CompileFacts,
    damage: Callable[[Path, CompileFacts], None],
    word: str,
    tmp_path: Path,
) -> None:
    start(secret_config, facts)
    damage(entry_of(secret_config, facts), facts)
    report, made = start(secret_config, facts)
    assert report.state == "rejected"
    assert word in report.why
    assert (report.published, made, report.saved_seconds) == (True, CODE, 0.0)
    assert start(secret_config, facts)[0].state == "hit"
    assert names_in(secret_config) == [compile_key(facts)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "shared"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"key_file": ""}, "there is no cache.key_file"),
        ({"key_file": "/nowhere/key"}, "cache.key_file"),
        ({"directory": ""}, "cache.directory is empty"),
        ({"directory": "/proc/nowhere"}, "cache.directory cannot be used"),
    ],
)
def test_without_a_trusted_folder_nothing_is_shared_and_the_report_says_why(
    secret_config: CacheConfig, facts: CompileFacts, change: dict[str, str], word: str
) -> None:
    report, made = start(replace(secret_config, **change), facts)
    assert (report.state, report.published, made) == ("off", False, CODE)
    assert word in report.why


def test_a_folder_of_this_pod_alone_needs_no_key(tmp_path: Path, facts: CompileFacts) -> None:
    config = CacheConfig(directory=str(tmp_path))
    assert start(config, facts)[0].published
    assert start(config, facts)[0].state == "hit"


def test_an_unsigned_entry_is_refused_once_a_key_is_configured(
    secret_config: CacheConfig, facts: CompileFacts
) -> None:
    start(replace(secret_config, key_file="", is_shared=False), facts)
    report, _ = start(secret_config, facts)
    assert (report.state, report.published) == ("rejected", True)


def test_a_full_disk_while_publishing_leaves_nothing_behind_and_the_model_serves(
    secret_config: CacheConfig, facts: CompileFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        report, made = start(secret_config, facts)
    assert (report.state, report.published, made) == ("miss", False, CODE)
    assert report.why == "not published: No space left on device"
    assert names_in(secret_config) == []
    assert start(secret_config, facts)[0].published


def test_a_full_disk_while_unpacking_is_no_fault_of_the_entry(
    secret_config: CacheConfig, facts: CompileFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(secret_config, facts)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(entry, "_extract", full)
        report, made = start(secret_config, facts)
    assert (report.state, report.published, made) == ("miss", False, CODE)
    assert "cannot be unpacked: No space left" in report.why
    assert start(secret_config, facts)[0].state == "hit"


def test_what_another_pod_compiles_is_waited_for(secret_config: CacheConfig, facts: CompileFacts) -> None:
    published = start(secret_config, facts)
    assert published[0].published
    path = entry_of(secret_config, facts)
    away = path.with_name("away")
    path.rename(away)
    lease = Lease.acquire(path.with_name(f"{path.name}.lease"))
    assert lease is not None
    clock = Clock(lambda: away.rename(path) if clock.now > 2 and away.exists() else None)
    report, _ = start(secret_config, facts, clock=clock)
    lease.release()
    assert (report.state, report.seconds) == ("hit", 2.5)


def test_the_wait_for_another_pod_is_bounded(secret_config: CacheConfig, facts: CompileFacts) -> None:
    lease_path = Path(f"{entry_of(secret_config, facts)}.lease")
    lease_path.parent.mkdir(parents=True)

    def renew() -> None:
        lease_path.write_text(f"other {clock.now}")

    clock = Clock(renew)
    lease_path.write_text("other")
    report, made = start(secret_config, facts, clock=clock, wait_seconds=8)
    assert clock.now == 8
    assert (report.state, made) == ("miss", CODE)
    assert "another pod compiles since more than 8 s" in report.why
    assert report.published


def test_a_lease_of_a_pod_that_died_is_taken_over(secret_config: CacheConfig, facts: CompileFacts) -> None:
    lease_path = Path(f"{entry_of(secret_config, facts)}.lease")
    lease_path.parent.mkdir(parents=True)
    lease_path.write_text("dead-pod 1 00000007\n")
    clock = Clock()
    report, _ = start(secret_config, facts, clock=clock, wait_seconds=1000)
    assert 5 <= clock.now < 7
    assert (report.state, report.published) == ("miss", True)
    assert names_in(secret_config) == [compile_key(facts)]


def test_the_wait_is_told_once(secret_config: CacheConfig, facts: CompileFacts) -> None:
    lease_path = Path(f"{entry_of(secret_config, facts)}.lease")
    lease_path.parent.mkdir(parents=True)
    lease_path.write_text("other")
    told: list[str] = []
    clock = Clock()
    with CompileCache(
        *(secret_config, facts),
        wait_seconds=3,
        progress=told.append,
        clock=clock,
        sleep=clock.sleep,
    ):
        assert told == ["another pod compiles the same; waiting for what it publishes"]


def test_a_start_that_fails_lets_others_compile_at_once(
    secret_config: CacheConfig, facts: CompileFacts
) -> None:
    def fail() -> None:
        with CompileCache(secret_config, facts, wait_seconds=0):
            assert names_in(secret_config) == [f"{compile_key(facts)}.lease"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names_in(secret_config) == []


def test_only_the_newest_entries_are_kept(secret_config: CacheConfig, facts: CompileFacts) -> None:
    many = [replace(facts, threads=threads) for threads in range(KEPT_ENTRIES + 3)]
    for age, one in enumerate(many):
        start(secret_config, one)
        os.utime(entry_of(secret_config, one), (1e9 + age, 1e9 + age))
    assert names_in(secret_config) == sorted(compile_key(one) for one in many[3:])


@pytest.fixture
def read_only(secret_config: CacheConfig, facts: CompileFacts) -> Iterator[CacheConfig]:
    """A folder with an entry where nothing can be created, renamed or removed."""
    start(secret_config, facts)
    refused = OSError(errno.EROFS, os.strerror(errno.EROFS))

    def refuse(*_: object, **__: object) -> None:
        raise refused

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lease, "acquire", refuse)
        patch.setattr(Path, "rename", refuse)
        yield secret_config


def test_a_folder_that_can_only_be_read_still_serves_hits(
    read_only: CacheConfig, facts: CompileFacts
) -> None:
    assert start(read_only, facts)[0].state == "hit"


def test_a_damaged_entry_that_cannot_be_removed_is_not_used_either(
    read_only: CacheConfig, facts: CompileFacts
) -> None:
    _changed_byte(entry_of(read_only, facts), facts)
    report, made = start(read_only, facts)
    assert (report.state, report.published, made) == ("rejected", False, CODE)
    assert "cannot be removed: Read-only file system" in report.why


def test_files_that_only_the_compiling_process_needs_are_not_published(
    secret_config: CacheConfig, facts: CompileFacts
) -> None:
    with CompileCache(secret_config, facts, wait_seconds=0) as cache:
        (cache.directory / "a.lock").touch()
        (cache.directory / "b.so").write_bytes(b"code")
        (cache.directory / "link").symlink_to("/etc/passwd")
        cache.finish(1.0)
    document = json.loads((entry_of(secret_config, facts) / entry.MANIFEST).read_text())
    assert [file["path"] for file in document["files"]] == ["b.so"]
    shutil.rmtree(secret_config.directory)
