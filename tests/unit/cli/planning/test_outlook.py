"""What is foretold of a model is what the operator decides."""

from __future__ import annotations

from typing import Any

from atheria_cli.planning.outlook import outlook

PROFILES = {
    "nvidia-l4": {
        "metadata": {"name": "nvidia-l4"},
        "spec": {
            "resourceName": "nvidia.com/gpu",
            "memoryGiB": 22,
            "price": {"usdPerHour": "0.60", "source": "a page", "date": "2026-05"},
        },
    }
}


def model(**spec: Any) -> dict[str, Any]:
    whole = {"model": {"source": "builtin://qca"}, "hardware": {"profile": "nvidia-l4", "count": 2}, **spec}
    return {"metadata": {"name": "m", "namespace": "demo"}, "spec": whole}


def test_a_new_model_has_its_profile_and_price() -> None:
    found = outlook({}, model(scaling={"maxReplicas": 4}), PROFILES)
    assert found.is_accepted
    assert "on nvidia-l4" in found.message
    assert found.restarts.startswith("a new model")
    assert (found.usd_per_hour, found.usd_per_hour_most) == (1.2, 4.8)


def test_a_new_model_says_how_many_pods_start_before_its_first_call() -> None:
    assert outlook({}, model(), PROFILES).restarts == "a new model: 1 of its pods starts at once"
    more = model(scaling={"minReplicas": 2, "maxReplicas": 4})
    assert outlook({}, more, PROFILES).restarts == "a new model: 2 of its pods start at once"
    none = model(scaling={"initialReplicas": 0})
    assert outlook({}, none, PROFILES).restarts == "a new model: its first pod starts with the first call"


def test_a_model_that_does_not_fit_is_refused_in_the_operators_words() -> None:
    big = model()
    big["spec"]["model"]["memory"] = {"weights": "200Gi"}
    found = outlook({}, big, PROFILES)
    assert not found.is_accepted
    assert found.message.startswith("DoesNotFit: the model needs")
    assert found.usd_per_hour is None


def test_an_unknown_profile_and_a_wrong_field_are_refused() -> None:
    assert "ProfileNotFound" in outlook({}, model(hardware={"profile": "h900"}), PROFILES).message
    assert "InvalidSpec" in outlook({}, model(scaling={"maxReplicas": -1}), PROFILES).message


def test_a_change_of_scaling_replaces_no_pod_and_one_of_the_model_does() -> None:
    live = model(scaling={"maxReplicas": 4})
    assert outlook(live, model(scaling={"maxReplicas": 8}), PROFILES).restarts.startswith(
        "no pod is replaced"
    )
    changed = outlook(live, model(batching={"maxBatchSize": 16}), PROFILES)
    assert (
        changed.restarts == "a new revision: pods are replaced by spec.rollout.strategy auto; no call is lost"
    )
    assert outlook(model(scaling={"maxReplicas": -1}), live, PROFILES).restarts.startswith("a new revision")


def test_without_a_price_nothing_is_said_of_cost() -> None:
    free = {
        "nvidia-l4": {**PROFILES["nvidia-l4"], "spec": {"resourceName": "nvidia.com/gpu", "memoryGiB": 22}}
    }
    assert outlook({}, model(), free).usd_per_hour is None
