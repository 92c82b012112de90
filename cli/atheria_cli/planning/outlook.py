"""What the operator will make of a model: refused or not, on what hardware, does it fit, does it restart. Used by `plan`.

Beside `replay` the one place of this package that imports the operator's: what is foretold must be what is decided. It
imports the operator's pure half only; `plan` leaves this part out where the package is installed without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.desired.plan import initial_replicas
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.planning.choice import Choice, choose_profile, remember_refusal

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is to be expected of one model."""

    is_accepted: bool
    message: str
    """Why not, and what to change; or the profile with the sum of its memory."""
    restarts: str
    """Whether pods are replaced, and how; empty for a model that is refused."""
    usd_per_hour: float | None
    """Of one pod; None = the profile has no price."""
    usd_per_hour_most: float | None
    """At maxReplicas."""


def outlook(live: Body, planned: Body, profiles: Mapping[str, Body]) -> Outlook:
    """`live` empty = a new model; `profiles` by name, as the cluster has them."""
    intent = parse_model(_identified(planned))
    if isinstance(intent, Problem):
        return _refused(intent)
    status = live.get("status") or {}
    chosen = choose_profile(intent, profiles, _NOTHING_SEEN, status, remember_refusal(intent, status))
    if isinstance(chosen, Problem):
        return _refused(chosen)
    price = chosen.profile.price
    per_pod = float(price.usd_per_hour) * intent.device_count if price else None
    return Outlook(
        is_accepted=True,
        message=chosen.note,
        restarts=_restarts(live, intent, chosen, profiles),
        usd_per_hour=per_pod,
        usd_per_hour_most=None if per_pod is None else per_pod * intent.scaling.max_replicas,
    )


def _refused(problem: Problem) -> Outlook:
    return Outlook(
        is_accepted=False,
        message=f"{problem.reason}: {problem.message}",
        restarts="",
        usd_per_hour=None,
        usd_per_hour_most=None,
    )


def _restarts(live: Body, planned: ModelIntent, chosen: Choice, profiles: Mapping[str, Body]) -> str:
    if not live:
        count = initial_replicas(planned, _NOTHING_SEEN, active_before="")
        if not count:
            return "a new model: its first pod starts with the first call"
        return f"a new model: {count} of its pods {'starts' if count == 1 else 'start'} at once"
    before = parse_model(_identified(live))
    if isinstance(before, Problem):
        return "a new revision: the model as it is was refused"
    status = live.get("status") or {}
    was = choose_profile(before, profiles, _NOTHING_SEEN, status, remember_refusal(before, status))
    if not isinstance(was, Problem) and _revision(before, was.profile) == _revision(planned, chosen.profile):
        return "no pod is replaced: the change is of scaling, rollout or metadata"
    return f"a new revision: pods are replaced by spec.rollout.strategy {planned.rollout.strategy.value}; no call is lost"


def _revision(intent: ModelIntent, profile: HardwareProfile) -> str:
    return build_revision(intent, profile, ServerDefaults(image="any", standby_key=b"any")).hash


def _identified(body: Body) -> Body:
    """A manifest that was never applied has no uid."""
    return {**body, "metadata": {"uid": "none", "namespace": "default", **(body.get("metadata") or {})}}


_NOTHING_SEEN = Observed()
