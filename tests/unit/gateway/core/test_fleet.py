"""What `fleet.json` says of the models, and what it keeps to itself."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_gateway.core.fleet import MODELS_MOST, Calls, Fleet, render_fleet
from atheria_gateway.core.live_model import (
    LONGEST_TEXT,
    LiveModel,
    live_model_from_object,
    without_credentials,
)
from atheria_gateway.core.model import ModelKey
from atheria_operator.domain.pods import failure_of

QCA = ModelKey(namespace="demo", name="qca")
METADATA = {"namespace": "demo", "name": "qca"}
SECRET = "hunter2-hunter2"
FIELDS = {
    "namespace",
    "name",
    "runtime",
    "source",
    "parameters",
    "phase",
    "reason",
    "message",
    "asked",
    "ready",
    "pods",
    "held",
    "inFlight",
    "queue",
    "costPer1000Usd",
    "costBasis",
    "costUnknown",
    "lastDecision",
}


def _fleet(models: dict[ModelKey, LiveModel], calls: dict[ModelKey, Calls] | None = None) -> dict[str, Any]:
    return render_fleet(
        Fleet(
            unix_s=1_790_000_000.25,
            pod="gateway-1",
            gateways=2,
            is_ready=True,
            models=models,
            calls=calls or {},
        )
    )


def _shown(body: dict[str, Any], calls: Calls | None = None) -> dict[str, Any]:
    (found,) = _fleet({QCA: live_model_from_object(body)}, {QCA: calls} if calls else None)["models"]
    return dict(found)


def test_a_model_is_shown_with_its_status_its_cost_and_the_newest_decision() -> None:
    body = {
        "metadata": METADATA,
        "spec": {
            "replicas": 3,
            "model": {
                "runtime": "atheria",
                "source": "builtin://qca",
                "parameters": {"law": "nca", "steps": 8, "gated": False, "table": [1, 2]},
            },
        },
        "status": {
            "phase": "Serving",
            "readyReplicas": 2,
            "replicas": 4,
            "queue": 7,
            "conditions": [
                {"type": "Accepted", "reason": "Accepted"},
                {"type": "Ready", "reason": "Serving", "message": "2 of 3 pods answer calls"},
            ],
            "cost": {"reservedPer1000": 0.5, "usdPerHour": 2, "basis": "measured"},
            "lastDecisions": [
                {"time": "2026-11-22T05:00:00Z", "reason": "Demand", "message": "7 calls / 4"},
                {"time": "2026-11-22T04:00:00Z", "reason": "Idle", "message": "older"},
            ],
        },
    }
    assert _shown(body, Calls(held=1, in_flight=6)) == {
        "namespace": "demo",
        "name": "qca",
        "runtime": "atheria",
        "source": "builtin://qca",
        "parameters": {"gated": False, "law": "nca", "steps": 8},
        "phase": "Serving",
        "reason": "Serving",
        "message": "2 of 3 pods answer calls",
        "asked": 3,
        "ready": 2,
        "pods": 4,
        "held": 1,
        "inFlight": 6,
        "queue": 7,
        "costPer1000Usd": 0.5,
        "costBasis": "measured",
        "costUnknown": None,
        "lastDecision": {"reason": "Demand", "message": "7 calls / 4", "at": "2026-11-22T05:00:00Z"},
    }


@pytest.mark.parametrize(
    "last_words",
    [
        f"could not connect: postgres://me:{SECRET}@db/live",
        f"WeightsInvalid: {SECRET}",
        f"SourceUnavailable: {SECRET}",
        f"starting\natheria-server: error: QualityRejected: {SECRET}",
    ],
)
@pytest.mark.parametrize(
    "before", ["", "revision qca-b has 0 of 1 pods ready; qca-a takes all calls with 1: "]
)
def test_the_last_words_of_a_container_are_not_shown(last_words: str, before: str) -> None:
    ended = {"exitCode": 1, "message": last_words}
    container = {"name": "model", "restartCount": 2, "lastState": {"terminated": ended}}
    problem = failure_of({"metadata": {"name": "qca-1"}, "status": {"containerStatuses": [container]}})
    assert problem is not None
    assert SECRET in problem.message
    ready = {"type": "Ready", "reason": problem.reason, "message": before + problem.message}
    shown = _shown({"metadata": METADATA, "status": {"conditions": [ready]}})
    assert SECRET not in json.dumps(shown)
    assert shown["reason"] == problem.reason
    assert shown["message"] == (
        f"{before}pod qca-1, restarted 2 times, last ended: its last words are in kubectl describe atheriamodel qca -n demo"
    )


def test_what_is_not_known_is_null_and_never_zero() -> None:
    found = _shown({"metadata": METADATA})
    assert found.keys() == FIELDS
    known = {name: value for name, value in found.items() if value is not None}
    assert known == {"namespace": "demo", "name": "qca", "held": 0}


@pytest.mark.parametrize(
    ("cost", "why"),
    [
        (None, None),
        ({"seconds": 60, "calls": 7}, "no price"),
        ({"seconds": 60, "calls": 0, "usdPerHour": 0.6}, "no call in this period"),
        ({"seconds": 60, "calls": 7, "usdPerHour": 0.6, "reservedPer1000": 0.1}, None),
        ({"seconds": 60, "calls": 7, "usdPerHour": 0, "reservedPer1000": 0}, None),
    ],
)
def test_a_cost_that_cannot_be_told_says_why(cost: dict[str, Any] | None, why: str | None) -> None:
    assert _shown({"metadata": METADATA, "status": {"cost": cost}})["costUnknown"] == why


def test_the_gateway_is_shown_with_the_sum_of_what_it_counts() -> None:
    models = {ModelKey(namespace="demo", name=name): LiveModel() for name in "abc"}
    a, b, c = models
    shown = _fleet(models, {a: Calls(held=2, in_flight=1), b: Calls(held=1, in_flight=4), c: Calls()})
    assert shown["gateway"] == {
        "pod": "gateway-1",
        "gateways": 2,
        "ready": True,
        "held": 3,
        "inFlight": 5,
    }
    assert datetime.fromisoformat(shown["time"]).timestamp() == 1_790_000_000.25
    assert _fleet(models, {a: Calls(held=1)})["gateway"]["inFlight"] is None


def test_of_many_models_those_with_calls_are_shown_and_all_are_counted() -> None:
    models = {ModelKey(namespace="demo", name=f"m{number:04d}"): LiveModel() for number in range(1000)}
    last = max(models, key=str)
    shown = _fleet(models, {last: Calls(held=1)})
    names = [one["name"] for one in shown["models"]]
    assert (shown["total"], len(names)) == (1000, MODELS_MOST)
    assert names == sorted(names)
    assert names[-1] == last.name
    assert names[0] == "m0000"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("builtin://qca", "builtin://qca"),
        ("pvc://weights/qca/v3", "pvc://weights/qca/v3"),
        (f"https://me:{SECRET}@models.example/qca.safetensors", "https://models.example/qca.safetensors"),
        (f"https://models.example/qca?token={SECRET}", "https://models.example/qca"),
        (f"https://models.example/qca#{SECRET}", "https://models.example/qca"),
        (f"https://[{SECRET}@x/", "https://…"),
    ],
)
def test_a_source_is_shown_without_credentials(source: str, shown: str) -> None:
    assert without_credentials(source) == shown


def test_parameters_of_foreign_models_variables_and_long_values_are_not_shown() -> None:
    model = {"source": "hf://org/model", "parameters": {"api_key": SECRET}}
    template = {"spec": {"containers": [{"name": "model", "env": [{"name": "TOKEN", "value": SECRET}]}]}}
    body = {"metadata": METADATA, "spec": {"model": model, "podTemplate": template}}
    found = _shown(body)
    assert found["parameters"] is None
    assert SECRET not in json.dumps(found)
    own = {"source": "builtin://qca", "parameters": {"law": "x" * 65, "steps": 2}}
    assert _shown({"metadata": METADATA, "spec": {"model": own}})["parameters"] == {"steps": 2}


TEXTS = st.none() | st.text(max_size=2 * LONGEST_TEXT)
SCALARS = TEXTS | st.integers() | st.booleans() | st.floats()
NUMBERS = st.none() | st.integers(min_value=0, max_value=10**6)


@given(
    source=TEXTS | st.just(f"https://u:{SECRET}@h/x?{SECRET}"),
    parameters=st.none() | st.dictionaries(st.text(), SCALARS | st.lists(st.integers()), max_size=4),
    texts=st.tuples(TEXTS, TEXTS, TEXTS),
    counts=st.tuples(NUMBERS, NUMBERS, NUMBERS),
    cost=st.none() | st.floats(),
    held=st.integers(min_value=0, max_value=99),
    in_flight=NUMBERS,
)
def test_whatever_the_cluster_says_the_page_gets_json_of_one_shape(
    source: str | None,
    parameters: dict[str, Any] | None,
    texts: tuple[str | None, str | None, str | None],
    counts: tuple[int | None, int | None, int | None],
    cost: float | None,
    held: int,
    in_flight: int | None,
) -> None:
    phase, reason, message = texts
    asked, ready, queue = counts
    body = {
        "metadata": METADATA,
        "spec": {"replicas": asked, "model": {"source": source, "parameters": parameters}},
        "status": {
            "phase": phase,
            "readyReplicas": ready,
            "queue": queue,
            "conditions": [{"type": "Ready", "reason": reason, "message": message}],
            "cost": {"reservedPer1000": cost},
        },
    }
    found = _shown(body, Calls(held=held, in_flight=in_flight))
    text = json.dumps(found, allow_nan=False)
    assert SECRET not in text
    assert json.loads(text) == found
    assert found.keys() == FIELDS
    assert (found["asked"], found["ready"], found["queue"]) == counts
    assert (found["held"], found["inFlight"]) == (held, in_flight)
    assert all(len(value) <= LONGEST_TEXT for value in found.values() if isinstance(value, str))
    values = (found["parameters"] or {}).values()
    assert all(isinstance(value, str | int | float | bool) for value in values)
