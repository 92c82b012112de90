"""Buckets as labels of metrics: readable, and never more than a few."""

from __future__ import annotations

from atheria_server.core.bucket_labels import (
    MAX_CHARACTERS,
    MAX_LABELS,
    OTHER,
    BucketLabels,
    FewLabels,
    bucket_label,
)


def rows(width: int, **parameters: int) -> tuple[object, ...]:
    return ("rows", (("x", "FP32", (width, 4)),), tuple(parameters.items()), None)


def test_the_label_is_the_layout_of_the_tensors() -> None:
    assert bucket_label(rows(64)) == "x:FP32[64,4]"
    two = ("call", (("a", "INT8", (2,)), ("b", "BYTES", ())), ())
    assert bucket_label(two) == "a:INT8[2] b:BYTES[]"


def test_calls_without_tensors_are_named_by_their_kind() -> None:
    assert bucket_label(("json",)) == "json"
    assert bucket_label(("call", (), ())) == "call"
    assert bucket_label(7) == OTHER


def test_parameters_do_not_make_new_labels() -> None:
    labels = BucketLabels()
    found = {labels.label(rows(8, seed=seed)) for seed in range(5000)}
    assert found == {"x:FP32[8,4]"}


def test_a_caller_that_sends_ever_new_shapes_ends_in_one_label() -> None:
    labels = BucketLabels()
    found = {labels.label(rows(width)) for width in range(1, 2000)}
    assert len(found) == MAX_LABELS + 1
    assert OTHER in found
    assert labels.label(rows(1)) == "x:FP32[1,4]"  # the early ones keep theirs
    assert labels.label(rows(1999)) == OTHER


def test_a_long_name_is_cut() -> None:
    assert len(bucket_label(("call", (("n" * 1000, "FP32", (1,)),), ()))) == MAX_CHARACTERS


def test_few_labels_are_few() -> None:
    labels = FewLabels()
    assert len({labels.label(str(n)) for n in range(100)}) == MAX_LABELS + 1
