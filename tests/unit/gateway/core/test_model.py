"""Reading an AtheriaModel as the API server returns it."""

from __future__ import annotations

import pytest

from atheria_contract import names
from atheria_gateway.core.model import DEFAULT_QUEUE_LIMIT, ModelKey, model_from_object


def test_a_model_is_read_from_its_object() -> None:
    model = model_from_object(
        {
            "metadata": {"namespace": "demo", "name": "qca", "uid": "u-1"},
            "spec": {"replicas": 2, "concurrency": {"maxQueueDepth": 7}},
            "status": {
                "activeRevision": "qca-abc12345",
                "phase": "Pending",
                "conditions": [
                    {"type": "Warm", "message": "cold"},
                    {"type": "Ready", "message": "0/1 nodes are available: insufficient memory"},
                ],
            },
        }
    )
    assert model.key == ModelKey(namespace="demo", name="qca")
    assert (model.uid, model.requested_replicas, model.queue_limit) == ("u-1", 2, 7)
    assert (model.active_revision, model.phase) == ("qca-abc12345", "Pending")
    assert "insufficient memory" in model.reason
    assert not model.is_leaving


def test_a_model_without_spec_fields_and_status_has_the_defaults() -> None:
    model = model_from_object({"metadata": {"namespace": "demo", "name": "qca"}})
    assert (model.requested_replicas, model.active_revision) == (0, "")
    assert model.queue_limit == DEFAULT_QUEUE_LIMIT


def test_weights_are_read_and_a_revision_that_may_not_run_is_not_to_be_woken() -> None:
    status = {
        "activeRevision": "qca-a",
        "revisions": [
            {"name": "qca-a", "weight": 90, "mayRun": False},
            {"name": "qca-b", "weight": 10},
            {"name": "qca-c", "weight": 0},
        ],
    }
    model = model_from_object({"metadata": {"namespace": "demo", "name": "qca"}, "status": status})
    assert model.weights == {"qca-a": 90, "qca-b": 10}
    assert not model.may_wake


def test_what_paces_and_times_a_models_calls_is_read() -> None:
    body = {
        "metadata": {"namespace": "demo", "name": "qca"},
        "spec": {
            "model": {"idempotent": True},
            "batching": {"maxBatchSize": 16},
            "concurrency": {"workersPerReplica": 2},
        },
        "status": {
            "activeRevision": "qca-b",
            "start": {"expectedAt": "1970-01-01T00:16:52Z"},
            "starts": [
                {"revision": "qca-b", "totalSeconds": 8.5},
                {"revision": "qca-a", "totalSeconds": 99.0},
            ],
        },
    }
    model = model_from_object(body)
    assert (model.is_idempotent, model.batch_size, model.workers) == (True, 16, 2)
    assert (model.expected_ready_unix_s, model.start_seconds) == (1012.0, (8.5,))


def test_starts_of_other_revisions_count_while_the_active_one_has_none_and_a_broken_time_counts_as_none() -> (
    None
):
    status = {
        "activeRevision": "qca-b",
        "start": {"expectedAt": "soon"},
        "starts": [{"revision": "qca-a", "totalSeconds": 99.0}],
    }
    model = model_from_object({"metadata": {"namespace": "demo", "name": "qca"}, "status": status})
    assert (model.expected_ready_unix_s, model.start_seconds) == (None, (99.0,))


@pytest.mark.parametrize(("kind", "asleep"), [("Active", True), ("Ready", False)])
def test_a_model_sleeps_where_its_active_revision_does_whatever_the_new_one_says(
    kind: str, asleep: bool
) -> None:
    sleeps = {"type": kind, "status": "False", "reason": names.REASON_ASLEEP, "message": "one sleeps"}
    metadata = {"namespace": "demo", "name": "qca"}
    assert model_from_object({"metadata": metadata, "status": {"conditions": [sleeps]}}).is_asleep is asleep


def test_a_model_with_a_deletion_timestamp_is_leaving() -> None:
    metadata = {"namespace": "demo", "name": "qca", "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert model_from_object({"metadata": metadata}).is_leaving


def test_a_key_is_printed_as_the_header_and_read_back() -> None:
    key = ModelKey(namespace="demo", name="qca")
    assert str(key) == "demo/qca"
    assert ModelKey.parse("demo/qca") == key


@pytest.mark.parametrize("text", ["", "qca", "/qca", "demo/", "a/b/c"])
def test_a_key_that_is_not_namespace_and_name_is_refused_with_the_form_to_use(text: str) -> None:
    with pytest.raises(ValueError, match="allowed is namespace/name"):
        ModelKey.parse(text)
