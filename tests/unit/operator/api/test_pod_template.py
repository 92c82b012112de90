"""Whatever is written into spec.podTemplate becomes a pod template or a problem, never an error of the operator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.planning.choice import choose_profile

PROFILE = {"metadata": {"name": "cpu"}, "spec": {"resources": {"limits": {"memory": "2Gi"}}}}


def _parsed(template: Any) -> ModelIntent | Problem:
    metadata = {"name": "qca", "namespace": "demo", "uid": "u"}
    spec = {"model": {"source": "builtin://qca", "memory": {"weights": "1Gi"}}, "podTemplate": template}
    return parse_model({"metadata": metadata, "spec": spec})


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ({"spec": "x"}, "spec.podTemplate.spec is 'x': write an object"),
        ({"metadata": {"labels": [1]}}, "spec.podTemplate.metadata.labels is [1]: write an object"),
        ({"spec": {"containers": {"model": {}}}}, "spec.podTemplate.spec.containers is {'model': {}}: write a list"),
        ({"spec": {"containers": [{"image": "x"}]}}, "containers[0] is {'image': 'x'}: write an object with a name"),
        ({"spec": {"volumes": ["v"]}}, "spec.podTemplate.spec.volumes[0] is 'v'"),
        (
            {"spec": {"containers": [{"name": "model", "resources": {"limits": "8Gi"}}]}},
            "containers[0].resources.limits is '8Gi': write an object",
        ),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_told_with_field_value_and_what_to_write(template: Any, words: str) -> None:
    found = _parsed(template)
    assert isinstance(found, Problem)
    assert found.reason == "InvalidSpec"
    assert words in found.message


scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "model", "8Gi"])
keys = st.sampled_from(
    ["name", "resources", "limits", "requests", "memory", "nvidia.com/gpu", "env", "image", "tolerations"]
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
container = st.fixed_dictionaries(
    {"name": st.sampled_from(["model", "side"])}, optional={"resources": anything, "env": anything}
)
templates = st.fixed_dictionaries(
    {},
    optional={
        "metadata": anything,
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": st.lists(container, max_size=2) | anything,
                "volumes": anything,
                "tolerations": anything,
                "affinity": anything,
                "nodeSelector": anything,
            },
        )
        | anything,
    },
)


@given(template=templates)
def test_no_shape_is_an_error_of_the_operator(template: dict[str, Any]) -> None:
    intent = _parsed(template)
    if isinstance(intent, Problem):
        return
    choice = choose_profile(intent, {"cpu": PROFILE}, Observed(), {}, {})
    if isinstance(choice, Problem):
        return
    assert isinstance(choice.profile, HardwareProfile)
    revision = build_revision(intent, choice.profile, ServerDefaults(image="server:1"))
    json.dumps(build_deployment(intent, revision))
