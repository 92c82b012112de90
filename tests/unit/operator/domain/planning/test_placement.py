"""On which nodes a profile's pods may run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem
from atheria_operator.api.parse import parse_profile
from atheria_operator.domain.desired.pod_template import ServerDefaults, build_pod_template
from atheria_operator.domain.planning.devices import device_problem
from atheria_operator.domain.planning.placement import REQUIRED, build_node_affinity, build_tolerations

SHIPPED = sorted((Path(__file__).parents[5] / "charts" / "atheria" / "files" / "profiles").glob("*.yaml"))
L4 = HardwareProfile(
    name="l4",
    resource_name="nvidia.com/gpu",
    node_alternatives=({"gfd": ("NVIDIA-L4",)}, {"gke": ("nvidia-l4",), "zone": ("a", "b")}),
)
SPOT_KEYS = [
    "cloud.google.com/gke-spot",
    "karpenter.sh/capacity-type",
    "eks.amazonaws.com/capacityType",
    "kubernetes.azure.com/scalesetpriority",
]


def _terms(profile: HardwareProfile) -> list[dict[str, list[str]]]:
    terms = build_node_affinity(profile)[REQUIRED]["nodeSelectorTerms"]
    return [{one["key"]: one["values"] for one in term["matchExpressions"]} for term in terms]


def test_alternatives_are_terms_and_the_labels_of_one_are_expressions_of_a_term() -> None:
    assert _terms(L4) == [{"gfd": ["NVIDIA-L4"]}, {"gke": ["nvidia-l4"], "zone": ["a", "b"]}]


def test_spot_is_required_beside_every_alternative_in_the_words_of_each_cloud() -> None:
    terms = _terms(replace(L4, is_spot=True))
    assert len(terms) == 8
    assert [set(term) for term in terms[:4]] == [{"gfd", key} for key in SPOT_KEYS]
    assert all(len(set(term) & set(SPOT_KEYS)) == 1 for term in terms)


def test_spot_on_any_node_is_spot_alone_and_its_taints_are_tolerated(cpu: HardwareProfile) -> None:
    spot = replace(cpu, is_spot=True, tolerations=({"key": "own"},))
    assert [list(term) for term in _terms(spot)] == [[key] for key in SPOT_KEYS]
    assert [one["key"] for one in build_tolerations(spot)] == [
        "own",
        "cloud.google.com/gke-spot",
        "kubernetes.azure.com/scalesetpriority",
    ]


def test_required_terms_of_ones_own_are_combined_with_spot_and_preferences_stay() -> None:
    own = {
        REQUIRED: {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [{"key": "a", "operator": "Exists"}],
                    "matchFields": [{"key": "metadata.name"}],
                }
            ]
        },
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}],
    }
    profile = HardwareProfile(name="p", node_affinity=own, is_spot=True)
    found = build_node_affinity(profile)
    assert len(found[REQUIRED]["nodeSelectorTerms"]) == 4
    for term in found[REQUIRED]["nodeSelectorTerms"]:
        assert term["matchExpressions"][0] == {"key": "a", "operator": "Exists"}
        assert term["matchFields"] == [{"key": "metadata.name"}]
    assert found["preferredDuringSchedulingIgnoredDuringExecution"] == [{"weight": 1}]
    assert build_node_affinity(HardwareProfile(name="p", node_affinity=own)) == own


def test_any_node_will_do_is_no_affinity_at_all(cpu: HardwareProfile) -> None:
    assert build_node_affinity(cpu) == {}
    assert build_tolerations(cpu) == []


def test_a_pod_gets_them(intent: Callable[..., ModelIntent], defaults: ServerDefaults) -> None:
    spec = build_pod_template(intent(), replace(L4, is_spot=True), defaults)["spec"]
    assert len(spec["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]) == 8
    assert len(spec["tolerations"]) == 2


def test_alternatives_beside_required_terms_are_a_problem_because_one_would_be_lost() -> None:
    spec = {
        "nodeAlternatives": [{"labels": {"a": ["b"]}}],
        "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}]}},
    }
    found = parse_profile({"metadata": {"name": "p"}, "spec": spec})
    assert isinstance(found, Problem)
    assert "move its terms to nodeAlternatives" in found.message


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_is_valid_and_one_with_a_device_knows_its_nodes_and_its_memory(path: Path) -> None:
    profile = parse_profile(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert isinstance(profile, HardwareProfile)
    assert profile.name == path.stem
    assert profile.memory_bytes
    if profile.resource_name:
        assert {"nvidia.com/gpu.product", "karpenter.k8s.aws/instance-gpu-name"} <= {
            label for labels in profile.node_alternatives for label in labels
        }
    if profile.price:
        assert profile.price.source
        assert profile.price.date


def _asking(intent: Callable[..., ModelIntent], resource: str, **spec: Any) -> ModelIntent:
    container = {"name": "model", "resources": {"limits": {resource: 1}}}
    return intent(podTemplate={"spec": {"containers": [container]}}, **spec)


def test_a_slice_and_a_whole_gpu_in_one_pod_are_refused_with_both_named(
    intent: Callable[..., ModelIntent],
) -> None:
    slices = HardwareProfile(name="mig", resource_name="nvidia.com/mig-1g.10gb")
    problem = device_problem(_asking(intent, "nvidia.com/gpu"), slices)
    assert problem is not None
    assert problem.reason == "DeviceConflict"
    assert "nvidia.com/gpu and nvidia.com/mig-1g.10gb" in problem.message
    assert device_problem(_asking(intent, "nvidia.com/mig-2g.20gb"), slices) is not None
    assert device_problem(_asking(intent, "nvidia.com/mig-1g.10gb"), slices) is None
    assert device_problem(_asking(intent, "rdma/hca"), slices) is None
    assert device_problem(intent(), slices) is None


def test_devices_of_a_profile_without_any_are_refused(
    intent: Callable[..., ModelIntent], cpu: HardwareProfile
) -> None:
    problem = device_problem(intent(hardware={"count": 2}), cpu)
    assert problem is not None
    assert "spec.hardware.count is 2, but profile 'cpu' has no device: set count to 1" in problem.message
