"""The store gives back what was put, ignores what is damaged or foreign, and many processes may write at once."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atheria_contract.optimization import QualityConfig
from atheria_server.core.quality import Measurement, QualityError
from atheria_server.core.quality_gate import Verdict, judge, profile_of
from atheria_server.core.tensors import BF16, bfloat16_of
from atheria_server.optimize.quality import VerdictStore

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "f" * 64
PROFILE = profile_of(QualityConfig())


def verdict(value: float = 0.01) -> Verdict:
    return judge(
        [Measurement(name="C4_16", value=value, better="lower", baseline=0.2, variant=0.21)], PROFILE
    )


def file_of(folder: Path, suffix: str = "json") -> Path:
    return folder / f"{DIGEST.removeprefix('sha256:')}.{suffix}"


def test_what_was_put_is_found_again_also_by_another_store(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    assert VerdictStore(folder).get(DIGEST) is None
    VerdictStore(folder).put(DIGEST, verdict())
    assert VerdictStore(folder).get(DIGEST) == verdict()
    assert VerdictStore(folder).get(OTHER) is None


def test_a_newer_verdict_replaces_the_older_and_nothing_else_is_left(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    store.put(DIGEST, verdict(0.01))
    store.put(DIGEST, verdict(float("nan")))
    found = store.get(DIGEST)
    assert found is not None
    assert not found.passed
    assert [path.name for path in tmp_path.iterdir()] == [file_of(tmp_path).name]


def test_other_users_may_read_an_entry(tmp_path: Path) -> None:
    VerdictStore(tmp_path).put(DIGEST, verdict())
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff\xfe" + data,
        lambda _: b'{"a": 1}',
        lambda _: b"[1, 2]",
        lambda _: b"null",
        lambda data: data.replace(b'"format": 1', b'"format": 2'),
        lambda data: data.replace(DIGEST.encode(), OTHER.encode()),
        lambda data: data.replace(b'"passed": true', b'"passed": "perhaps"'),
        lambda _: json.dumps({"format": 1, "digest": DIGEST}).encode(),
        lambda data: b" " * (5 << 20) + data,
        lambda _: b"[" * 100_000,
    ],
)
def test_a_damaged_or_foreign_entry_is_ignored_with_one_line_and_can_be_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    store = VerdictStore(tmp_path)
    store.put(DIGEST, verdict())
    path = file_of(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING, "atheria.quality"):
        assert store.get(DIGEST) is None
    assert len(caplog.records) == 1
    assert path.name in caplog.text
    store.put(DIGEST, verdict())
    assert store.get(DIGEST) == verdict()


def test_an_entry_of_another_digest_under_this_name_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = VerdictStore(tmp_path)
    store.put(OTHER, verdict())
    (tmp_path / f"{OTHER.removeprefix('sha256:')}.json").rename(file_of(tmp_path))
    assert store.get(DIGEST) is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, DIGEST + "0"]
)
def test_what_is_no_digest_is_no_file_name(tmp_path: Path, digest: str) -> None:
    with pytest.raises(QualityError, match="64 hexadecimal digits"):
        VerdictStore(tmp_path).get(digest)


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        VerdictStore(tmp_path).put(DIGEST, verdict())
    assert list(tmp_path.iterdir()) == []


def _write_and_read(folder: Path, value: float, rounds: int) -> None:
    store = VerdictStore(folder)
    for _ in range(rounds):
        store.put(DIGEST, verdict(value))
        found = store.get(DIGEST)
        assert found is not None
        assert found.judged[0].measurement.value in (0.01, 0.02, 0.03)


def test_several_processes_write_and_read_at_once_and_never_see_a_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_write_and_read, args=(tmp_path, value, 12)) for value in (0.01, 0.02, 0.03)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_golden_outputs_of_every_type_come_back_as_they_were(tmp_path: Path) -> None:
    store = VerdictStore(tmp_path)
    outputs = [
        {
            "state": np.arange(6, dtype=np.float32).reshape(2, 3),
            "brain": bfloat16_of([[1.5]]),
            "text": np.array([[b"a\0", b""]], object),
            "none": np.zeros((0, 2), np.int64),
        },
        {"state": np.ones((1, 3), np.float32), "file": np.array([True])},
    ]
    assert store.get_golden(DIGEST) is None
    store.put_golden(DIGEST, outputs)
    found = store.get_golden(DIGEST)
    assert found is not None
    assert [set(call) for call in found] == [set(call) for call in outputs]
    for before, after in zip(outputs, found, strict=True):
        for name, array in before.items():
            assert after[name].dtype == array.dtype
            assert after[name].shape == array.shape
            assert np.array_equal(after[name], array)
    assert found[0]["brain"].dtype == BF16


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[:-40],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\x00\x00\x80\x3f", b"\x00\x00\x80\x40"),
        lambda data: data.replace(DIGEST.encode(), OTHER.encode()),
        lambda _: b"PK\x03\x04nonsense",
    ],
)
def test_damaged_golden_outputs_are_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    store = VerdictStore(tmp_path)
    store.put_golden(DIGEST, [{"state": np.ones((4, 4), np.float32)}])
    path = file_of(tmp_path, "npz")
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    with caplog.at_level(logging.WARNING, "atheria.quality"):
        assert store.get_golden(DIGEST) is None
    assert len(caplog.records) == 1


def test_golden_outputs_with_pickles_are_not_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.savez(file_of(tmp_path, "npz"), header=np.array([{"format": 1}], object))
    assert VerdictStore(tmp_path).get_golden(DIGEST) is None
    assert "allow_pickle" in caplog.text


def test_with_a_secret_only_what_it_signed_counts(tmp_path: Path) -> None:
    ours = VerdictStore(tmp_path, secret=b"k" * 32)
    ours.put(DIGEST, verdict())
    ours.put_golden(DIGEST, [{"y": np.ones(3, np.float32)}])
    assert ours.get(DIGEST) == verdict()
    found = ours.get_golden(DIGEST)
    assert found is not None
    assert np.array_equal(found[0]["y"], np.ones(3))
    assert VerdictStore(tmp_path, secret=b"x" * 32).get(DIGEST) is None
    assert VerdictStore(tmp_path, secret=b"x" * 32).get_golden(DIGEST) is None
    VerdictStore(tmp_path).put(DIGEST, verdict())
    assert ours.get(DIGEST) is None, "a forged verdict has no signature"
    path = file_of(tmp_path)
    ours.put(DIGEST, verdict())
    path.write_bytes(path.read_bytes().replace(b"0.01", b"0.00"))
    assert ours.get(DIGEST) is None, "a changed one has another signature"
