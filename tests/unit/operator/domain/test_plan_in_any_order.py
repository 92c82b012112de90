"""The plan, whatever exists: the same from the same, whatever the order, and only of what is the model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.plan import Plan, build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.observed import Observed, is_owned
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.state import RolloutState

OUTSIDE = Outside(now="2026-01-01T01:00:00Z")
CPU = HardwareProfile(name="cpu")
DEFAULTS = ServerDefaults(image="server:1")
SIZES = (1, 2, 3)
"""Each batch size is another revision."""


def _deployment(intent: ModelIntent, replicas: int, owner: str, *, is_leaving: bool) -> dict[str, Any]:
    body = build_deployment(intent, build_revision(intent, CPU, DEFAULTS))
    metadata = {**body["metadata"], "uid": f"uid-{body['metadata']['name']}"}
    metadata["ownerReferences"] = [{**body["metadata"]["ownerReferences"][0], "uid": owner}]
    if is_leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {**body, "metadata": metadata, "spec": {**body["spec"], "replicas": replicas}}


def _pod(number: int, revision_hash: str, *, ready: bool) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"p{number}",
            "labels": {names.LABEL_REVISION: revision_hash},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


existing = st.dictionaries(
    st.sampled_from(SIZES),
    st.tuples(st.integers(0, 2), st.sampled_from(["uid-1", "uid-other"]), st.booleans()),
)
running = st.lists(st.tuples(st.sampled_from(SIZES), st.booleans()), max_size=4)
strategies = st.sampled_from(["auto", "surge", "swap", "canary"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(existing, running, strategies, st.integers(0, 2), st.sampled_from((0, *SIZES)), st.data())
def test_a_plan_is_the_same_in_any_order_and_touches_only_its_own(
    intent: Callable[..., ModelIntent],
    deployments: dict[int, tuple[int, str, bool]],
    pods: list[tuple[int, bool]],
    strategy: str,
    limit: int,
    active_size: int,
    data: st.DataObject,
) -> None:
    rollout = {"strategy": strategy, "revisionHistoryLimit": limit}
    intents = {size: intent(batching={"maxBatchSize": size}, rollout=rollout) for size in SIZES}
    hashes = {size: build_revision(intents[size], CPU, DEFAULTS).hash for size in SIZES}
    children = [
        _deployment(intents[size], replicas, owner, is_leaving=is_leaving)
        for size, (replicas, owner, is_leaving) in deployments.items()
    ]
    found = [_pod(number, hashes[size], ready=ready) for number, (size, ready) in enumerate(pods)]
    before = RolloutState(active=f"qca-{hashes[active_size]}" if active_size else "")

    def plan(children: list[Any], pods: list[Any], before: RolloutState) -> Plan:
        by_name = {("Deployment", body["metadata"]["name"]): body for body in children}
        observed = Observed(children=by_name, pods=tuple(pods))
        return build_plan(intents[1], CPU, DEFAULTS, observed, before, OUTSIDE)

    first = plan(children, found, before)
    shuffled = plan(data.draw(st.permutations(children)), data.draw(st.permutations(found)), before)
    assert shuffled == first
    own = [body for body in children if is_owned(body, "uid-1")]
    assert all(body in own for body in first.delete)
    kept = {first.revision.name, first.active_revision, before.active}
    assert not kept & {body["metadata"]["name"] for body in first.delete}
    assert sum(first.decision.weights.values()) == 100
    # Nothing is deleted and wanted at once, now or when this plan has been carried out.
    gone = [body for body in children if body not in first.delete]
    again = plan(gone, found, first.rollout)
    wanted = {body["metadata"]["name"] for body in first.apply if body["kind"] == "Deployment"}
    assert not wanted & {body["metadata"]["name"] for body in again.delete}
