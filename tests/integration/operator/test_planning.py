"""The operator plans on a real API server: memory, profile auto, devices, familiar annotations."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import eventually


def wait_known(space: Any, profile: str) -> None:
    """Until the operator knows the profile: it watches profiles beside models, and a choice of auto is for good."""
    space.apply_model("probe", hardware={"profile": profile})
    space.wait_condition("Accepted", "True", name="probe")
    space.kubectl("delete", "am", "probe", "--timeout=60s")


@pytest.fixture
def fleet(cluster: Any, space: Any) -> Iterator[str]:
    """Three profiles of a device that nobody has: the small cheap one, the large dear one, a spot one. Their common prefix."""
    prefix = f"fleet-{uuid.uuid4().hex[:6]}"
    # Cheaper than all that the chart ships.
    rows = (("small", 10, "0.02", False), ("large", 40, "0.05", False), ("spot", 40, "0.01", True))
    bodies = [
        {
            "apiVersion": names.API_VERSION,
            "kind": names.PROFILE_KIND,
            "metadata": {"name": f"{prefix}-{name}"},
            "spec": {
                "resourceName": "example.com/device",
                "memoryGiB": gib,
                "spot": spot,
                "price": {"usdPerHour": price, "source": "a test", "date": "2026"},
                "nodeAlternatives": [{"labels": {"kind": [name]}}],
            },
        }
        for name, gib, price, spot in rows
    ]
    cluster.apply(*bodies)
    wait_known(space, f"{prefix}-spot")
    yield prefix
    cluster.kubectl("delete", "ahp", *(body["metadata"]["name"] for body in bodies))


def _model(weights: str = "") -> dict[str, Any]:
    return {"source": "builtin://echo", "memory": {"weights": weights}}


def test_auto_takes_the_cheapest_that_fits_and_says_why(space: Any, fleet: str) -> None:
    space.apply_model(model=_model("20Gi"), hardware={"profile": "auto"})
    space.wait_condition("Accepted", "True")
    hardware = space.model()["status"]["hardware"]
    assert hardware["profile"] == f"{fleet}-large"
    assert (hardware["neededBytes"], hardware["basis"]) == (20 * 2**30, "declared")
    accepted = space.conditions()["Accepted"]["message"]
    for words in (
        f"on {fleet}-large",
        "0.05 USD/h (a test, 2026)",
        f"{fleet}-small has 10.0 GiB",
        "is spot",
        "= 20.0 GiB of 40.0 GiB",
    ):
        assert words in accepted
    pod = space.get("deployments")["items"][0]["spec"]["template"]["spec"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert terms == [{"matchExpressions": [{"key": "kind", "operator": "In", "values": ["large"]}]}]


def test_a_new_cheaper_profile_does_not_restart_what_runs(space: Any, fleet: str) -> None:
    space.apply_model(model=_model("20Gi"), hardware={"profile": "auto"})
    space.wait_condition("Accepted", "True")
    before = [body["metadata"]["name"] for body in space.get("deployments")["items"]]
    cheaper = json.dumps([{"op": "replace", "path": "/spec/memoryGiB", "value": 30}])
    space.cluster.kubectl("patch", "ahp", f"{fleet}-small", "--type=json", "-p", cheaper)

    def noticed() -> bool:
        return f"{fleet}-small is cheaper now" in space.conditions()["Accepted"]["message"]

    eventually("the note about the cheaper profile", noticed)
    assert [body["metadata"]["name"] for body in space.get("deployments")["items"]] == before


def test_spot_nodes_are_asked_for_in_every_clouds_words(space: Any, fleet: str) -> None:
    space.apply_model(model=_model("20Gi"), hardware={"profile": "auto", "allowSpot": True})
    space.wait_condition("Accepted", "True")
    assert space.model()["status"]["hardware"]["profile"] == f"{fleet}-spot"
    pod = space.get("deployments")["items"][0]["spec"]["template"]["spec"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert len(terms) == 4
    assert {one["key"] for one in pod["tolerations"]} >= {"cloud.google.com/gke-spot"}


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        (
            {"model": _model("3Gi")},
            "DoesNotFit",
            ["weights 3.00 GiB in fp32 (declared) = 3.00 GiB", "'cpu' has 2.00 GiB", "spec.precision.policy"],
        ),
        (
            {"model": _model("9000Gi"), "hardware": {"profile": "auto"}},
            "NoProfileFits",
            ["9000.0 GiB", "nvidia-h200 has 139.0 GiB", "create one"],
        ),
        ({"hardware": {"count": 2}}, "DeviceConflict", ["spec.hardware.count is 2", "set count to 1"]),
    ],
    ids=["too large for its profile", "too large for all", "devices of none"],
)
def test_what_cannot_run_starts_no_pod_and_says_the_sum_and_the_next_step(
    space: Any, spec: dict[str, Any], reason: str, words: list[str]
) -> None:
    space.apply_model(**spec)
    space.wait_condition("Accepted", "False", reason)
    message = space.conditions()["Accepted"]["message"]
    for word in words:
        assert word in message
    assert space.get("deployments")["items"] == []


def test_a_knative_annotation_is_refused_by_condition_until_it_is_gone(space: Any) -> None:
    manifest = space.manifest()
    manifest["metadata"]["annotations"] = {"autoscaling.knative.dev/min-scale": "1"}
    space.cluster.apply(manifest)
    space.wait_condition("Accepted", "False", "ForeignAnnotation")
    assert "set spec.scaling.minReplicas" in space.conditions()["Accepted"]["message"]
    space.kubectl("annotate", "am", "qca", "autoscaling.knative.dev/min-scale-")
    space.wait_condition("Accepted", "True")


def test_auto_goes_on_to_the_next_profile_where_the_server_refuses_the_first_for_good(
    space: Any, fleet: str
) -> None:
    space.apply_model(model=_model("5Gi"), hardware={"profile": "auto"})
    first = space.wait_active()
    assert space.model()["status"]["hardware"]["profile"] == f"{fleet}-small"
    words = "atheria-server: error: PrecisionUnsupported: bf16 is not computed by this device"
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": words}}
    space.set_pod(space.wait_pods(first)[0]["metadata"]["name"], state=ended)

    def moved() -> bool:
        return bool(space.model()["status"]["hardware"]["profile"] == f"{fleet}-large")

    eventually("the next profile", moved)
    hardware = space.model()["status"]["hardware"]
    assert hardware["refused"] == [{"profile": f"{fleet}-small", "reason": "PrecisionUnsupported"}]
    assert f"{fleet}-small was refused there (PrecisionUnsupported)" in hardware["why"]
