"""Which hardware profile a model runs on: the one that it names, or with `auto` the cheapest that fits; called by the reconciler.

A choice of `auto` is kept for as long as the revision that it was made for: another price or a new profile moves no running
pod. It is made anew when the serving configuration changes, which makes a new revision anyhow, or when the chosen profile is
gone or its pods were refused there for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem
from atheria_operator.api.parse import parse_profile
from atheria_operator.api.quantities import bytes_text
from atheria_operator.api.types.serving import AUTO_PROFILE
from atheria_operator.domain.desired.revision import config_text, digest_of
from atheria_operator.domain.observed import Body, Observed
from atheria_operator.domain.planning.devices import device_problem
from atheria_operator.domain.planning.memory import (
    MEASURED,
    MemorySum,
    available_bytes,
    measured_weight_bytes,
    memory_sum,
)

PROFILE_NOT_FOUND: Final = "ProfileNotFound"
DOES_NOT_FIT: Final = "DoesNotFit"
NO_PROFILE_FITS: Final = "NoProfileFits"
REFUSED_ON_HARDWARE: Final = frozenset({"PrecisionUnsupported", "CompileFailed", "QualityRejected"})
"""Refusals of a server after which `auto` tries the next profile: other hardware may compute it, or compute it otherwise."""
_UNPRICED: Final = Decimal("Infinity")
_SHOWN: Final = 8
"""Profiles that do not fit, in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The profile to run on, and why."""

    profile: HardwareProfile
    note: str
    """For people, without a full stop: the sum of the memory, and the reason for an automatic choice."""
    status: Mapping[str, Any]
    """status.hardware."""


def remember_refusal(intent: ModelIntent, before: Mapping[str, Any]) -> dict[str, Any]:
    """status.hardware as it is stored, with the profile on which a choice of `auto` has just been refused for good.

    To be stored whatever the next choice is: a failure that is forgotten would be tried again.
    """
    hardware = dict(before.get("hardware") or {})
    failure = str((before.get("failure") or {}).get("reason") or "")
    is_auto = intent.profile == AUTO_PROFILE and hardware.get("specDigest") == _digest(intent)
    if is_auto and failure in REFUSED_ON_HARDWARE:
        others = [one for one in hardware.get("refused") or () if one["profile"] != hardware["profile"]]
        hardware["refused"] = [*others, {"profile": hardware["profile"], "reason": failure}]
    return hardware


def choose_profile(
    intent: ModelIntent,
    profiles: Mapping[str, Body],
    observed: Observed,
    before: Mapping[str, Any],
    hardware: Mapping[str, Any],
) -> Choice | Problem:
    """`profiles` by name, as they are stored; `before` is the stored status; `hardware` comes from `remember_refusal`."""
    needs = memory_sum(intent, measured_weight_bytes(intent, observed, before))
    if intent.profile == AUTO_PROFILE:
        return _choose_cheapest(intent, profiles, needs, hardware)
    return _take_named(intent, profiles, needs, hardware)


def _take_named(
    intent: ModelIntent, profiles: Mapping[str, Body], needs: MemorySum, hardware: Mapping[str, Any]
) -> Choice | Problem:
    body = profiles.get(intent.profile)
    if body is None:
        known = ", ".join([*sorted(profiles), AUTO_PROFILE]) if profiles else "none are installed"
        return Problem(
            reason=PROFILE_NOT_FOUND,
            message=f"spec.hardware.profile is {intent.profile!r}, which does not exist: use one of {known}, or create it",
        )
    profile = parse_profile(body)
    if isinstance(profile, Problem):
        return profile
    if problem := device_problem(intent, profile):
        return problem
    # Weights that a pod has counted on this very profile are loaded there: what was declared beside them is wrong, not they.
    has_run = needs.weights_basis == MEASURED and hardware.get("profile") == profile.name
    if not has_run and (problem := _memory_problem(intent, profile, needs)):
        return problem
    return Choice(
        profile=profile,
        note=f"on {profile.name}: {_memory_words(needs, available_bytes(intent, profile))}",
        status={
            "profile": profile.name,
            "why": "named by spec.hardware.profile",
            **_memory_status(needs, available_bytes(intent, profile)),
        },
    )


def _choose_cheapest(
    intent: ModelIntent,
    profiles: Mapping[str, Body],
    needs: MemorySum,
    hardware: Mapping[str, Any],
) -> Choice | Problem:
    digest = _digest(intent)
    is_same_spec = hardware.get("specDigest") == digest
    refused = {one["profile"]: one["reason"] for one in hardware.get("refused") or () if is_same_spec}
    fitting: list[HardwareProfile] = []
    obstacles: list[str] = []
    for name in sorted(profiles):
        found = _candidate(intent, profiles[name], needs, refused.get(name, ""))
        if isinstance(found, str):
            obstacles.append(f"{name} {found}")
        else:
            fitting.append(found)
    fitting.sort(key=lambda profile: _rank(profile, intent.device_count))
    if not fitting:
        return _nothing_fits(needs, obstacles, is_spot_allowed=intent.allows_spot)
    cheapest = fitting[0]
    kept = next((one for one in fitting if is_same_spec and one.name == hardware.get("profile")), None)
    chosen = kept or cheapest
    why = _why(chosen, cheapest, len(fitting), obstacles)
    return Choice(
        profile=chosen,
        note=f"on {chosen.name}, {why}; {_memory_words(needs, available_bytes(intent, chosen))}",
        status={
            "profile": chosen.name,
            "why": why,
            "specDigest": digest,
            **({"price": str(chosen.price)} if chosen.price else {}),
            **_memory_status(needs, available_bytes(intent, chosen)),
            "refused": [{"profile": name, "reason": reason} for name, reason in sorted(refused.items())],
        },
    )


def _candidate(intent: ModelIntent, body: Body, needs: MemorySum, refused: str) -> HardwareProfile | str:
    """The profile, or why it is none for this model."""
    profile = parse_profile(body)
    if isinstance(profile, Problem):
        return "is invalid"
    if refused:
        return f"was refused there ({refused})"
    if profile.is_spot and not intent.allows_spot:
        return "is spot"
    if device_problem(intent, profile):
        return (
            f"has no {intent.device_count} devices"
            if not profile.resource_name
            else "has another kind of device"
        )
    memory_bytes = available_bytes(intent, profile)
    if needs.is_known and memory_bytes is None:
        return "has unknown memory (memoryGiB)"
    if memory_bytes is not None and needs.total_bytes > memory_bytes:
        return f"has {bytes_text(memory_bytes)}"
    return profile


def _rank(profile: HardwareProfile, count: int) -> tuple[Decimal, int, str]:
    """Cheapest first; without a price last; then the smaller memory, then the name."""
    price = _UNPRICED if profile.price is None else profile.price.usd_per_hour * count
    return price, profile.memory_bytes or 0, profile.name


def _why(chosen: HardwareProfile, cheapest: HardwareProfile, fitting: int, obstacles: list[str]) -> str:
    price = f"at {chosen.price} a device" if chosen.price else "without a price"
    others = f" ({'; '.join(obstacles[:_SHOWN])})" if obstacles else ""
    if chosen.name == cheapest.name:
        return f"chosen by auto as the cheapest of {fitting} that fit, {price}{others}"
    return (
        f"chosen by auto when the revision was made, {price}; {cheapest.name} is cheaper now: "
        "the next change that makes a new revision takes it"
    )


def _nothing_fits(needs: MemorySum, obstacles: list[str], *, is_spot_allowed: bool) -> Problem:
    if not obstacles:
        message = "spec.hardware.profile is auto, but no AtheriaHardwareProfile is installed: create one"
    else:
        spot = "" if is_spot_allowed else ", set spec.hardware.allowSpot"
        message = (
            f"spec.hardware.profile is auto, but no profile will do for {needs if needs.is_known else 'this model'}: "
            f"{'; '.join(obstacles[:_SHOWN])}. Lower spec.batching.maxBatchSize or spec.precision.policy{spot}, name a profile, or create one"
        )
    return Problem(reason=NO_PROFILE_FITS, message=message)


def _memory_problem(intent: ModelIntent, profile: HardwareProfile, needs: MemorySum) -> Problem | None:
    memory_bytes = available_bytes(intent, profile)
    if memory_bytes is None or needs.total_bytes <= memory_bytes:
        return None
    rows = needs.rows_that_fit(memory_bytes)
    smaller = (
        f"lower spec.batching.maxBatchSize from {needs.rows} to {rows} or less"
        if rows
        else f"set a smaller spec.precision.policy than {intent.serving.precision.policy}"
    )
    if not profile.resource_name:
        smaller += ", raise resources.limits.memory of the container model in spec.podTemplate"
    return Problem(
        reason=DOES_NOT_FIT,
        message=f"the model needs {needs}, but profile {profile.name!r} has {bytes_text(memory_bytes)}: {smaller}, choose a "
        "profile with more memory or auto, or correct spec.model.memory",
    )


def _memory_words(needs: MemorySum, memory_bytes: int | None) -> str:
    if not needs.is_known:
        return "its memory was not checked, as spec.model.memory is empty"
    if memory_bytes is None:
        return f"memory {needs}, of an unknown size (memoryGiB of the profile)"
    words = f"memory {needs} of {bytes_text(memory_bytes)}"
    unknown = [
        name
        for name, value in (("weights", needs.weights_bytes), ("activationsPerRow", needs.row_bytes))
        if value is None
    ]
    return f"{words}, without {' and '.join(unknown)}, which are not known" if unknown else words


def _memory_status(needs: MemorySum, memory_bytes: int | None) -> dict[str, Any]:
    status: dict[str, Any] = {}
    if needs.is_known:
        status |= {"neededBytes": needs.total_bytes, "basis": needs.basis}
    if memory_bytes is not None:
        status["memoryBytes"] = memory_bytes
    return status


def _digest(intent: ModelIntent) -> str:
    need = intent.memory
    return digest_of(
        {
            "serving": config_text(intent.serving),
            "count": intent.device_count,
            "spot": intent.allows_spot,
            "memory": [need.weights_bytes, need.activations_bytes_per_row, need.cache_bytes_per_row],
        }
    )
