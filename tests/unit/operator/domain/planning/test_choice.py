"""Which hardware profile a model runs on, and why."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, Problem
from atheria_operator.api.parse import parse_model
from atheria_operator.api.quantities import GIB
from atheria_operator.domain.desired.revision import config_text
from atheria_operator.domain.observed import CONFIG_MAP, Observed
from atheria_operator.domain.planning.choice import (
    REFUSED_ON_HARDWARE,
    Choice,
    choose_profile,
    remember_refusal,
)
from atheria_operator.domain.pods import PERMANENT_REFUSALS

Intents = Callable[..., ModelIntent]
Body = dict[str, Any]
AUTO = {"profile": "auto"}


def _profile(name: str, gib: int = 24, price: str | None = None, **spec: Any) -> Body:
    priced = {"price": {"usdPerHour": price, "source": "a list", "date": "2026"}} if price else {}
    spec = {"resourceName": "nvidia.com/gpu", "memoryGiB": gib, **priced, **spec}
    return {"metadata": {"name": name}, "spec": spec}


def _named(*bodies: Body) -> dict[str, Body]:
    return {body["metadata"]["name"]: body for body in bodies}


FLEET = _named(
    _profile("small", 16, "0.30"),
    _profile("middle", 24, "0.44"),
    _profile("large", 80, "1.29"),
    _profile("unpriced", 80),
    _profile("spot", 80, "0.10", spot=True),
)


def _auto(intent: Intents, weights: str = "", **spec: Any) -> ModelIntent:
    return intent(model={"source": "builtin://qca", "memory": {"weights": weights}}, hardware=AUTO, **spec)


def _choose(
    intent: ModelIntent,
    profiles: dict[str, Body] = FLEET,
    before: Body | None = None,
    observed: Observed | None = None,
) -> Choice | Problem:
    before = before or {}
    hardware = remember_refusal(intent, before)
    return choose_profile(intent, profiles, observed or Observed(), before, hardware)


def _chosen(*arguments: Any, **named: Any) -> Choice:
    found = _choose(*arguments, **named)
    assert isinstance(found, Choice), found
    return found


def _refused(*arguments: Any, **named: Any) -> Problem:
    found = _choose(*arguments, **named)
    assert isinstance(found, Problem), found
    return found


@pytest.mark.parametrize(
    ("weights", "name"), [("", "small"), ("10Gi", "small"), ("20Gi", "middle"), ("40Gi", "large")]
)
def test_auto_takes_the_cheapest_that_fits(intent: Intents, weights: str, name: str) -> None:
    assert _chosen(_auto(intent, weights)).profile.name == name


def test_the_reason_names_price_source_date_and_what_did_not_fit(intent: Intents) -> None:
    found = _chosen(_auto(intent, "20Gi"))
    assert found.note == (
        "on middle, chosen by auto as the cheapest of 3 that fit, at 0.44 USD/h (a list, 2026) a device "
        "(small has 16.0 GiB; spot is spot); memory weights 20.0 GiB in fp32 (declared) = 20.0 GiB of 24.0 GiB, "
        "without activationsPerRow, which are not known"
    )
    assert found.status["price"] == "0.44 USD/h (a list, 2026)"
    assert (found.status["neededBytes"], found.status["memoryBytes"]) == (20 * GIB, 24 * GIB)
    assert found.status["basis"] == "declared"


def test_without_a_price_comes_last_but_comes(intent: Intents) -> None:
    only = {name: FLEET[name] for name in ("small", "unpriced")}
    assert _chosen(_auto(intent), only).profile.name == "small"
    assert _chosen(_auto(intent, "40Gi"), only).profile.name == "unpriced"


def test_spot_is_taken_only_when_it_is_allowed(intent: Intents) -> None:
    allowed = intent(hardware={"profile": "auto", "allowSpot": True})
    assert _chosen(allowed).profile.name == "spot"


def test_unknown_memory_is_not_a_fit_for_a_known_need(intent: Intents) -> None:
    found = _refused(_auto(intent, "1Gi"), _named(_profile("vague", 0, "0.01")))
    assert "vague has unknown memory (memoryGiB)" in found.message


def test_nothing_that_fits_is_refused_with_the_sum_and_every_profile(intent: Intents) -> None:
    found = _refused(_auto(intent, "200Gi"))
    assert found.reason == "NoProfileFits"
    for words in (
        "weights 200.0 GiB in fp32",
        "small has 16.0 GiB",
        "unpriced has 80.0 GiB",
        "spot is spot",
        "allowSpot",
    ):
        assert words in found.message
    assert "no AtheriaHardwareProfile is installed" in _refused(_auto(intent), {}).message


def test_several_devices_need_a_profile_with_devices(intent: Intents) -> None:
    cpu = _profile("cpu", 0, "0.01", resourceName="", resources={"limits": {"memory": "2Gi"}})
    two = intent(hardware={"profile": "auto", "count": 2})
    assert _chosen(two, {**FLEET, **_named(cpu)}).profile.name == "small"
    assert _chosen(intent(hardware=AUTO), {**FLEET, **_named(cpu)}).profile.name == "cpu"


def test_another_price_or_a_new_profile_moves_no_running_model(intent: Intents) -> None:
    first = _chosen(_auto(intent, "10Gi"))
    before = {"hardware": first.status}
    fleet = {**FLEET, **_named(_profile("cheaper", 24, "0.05"))}
    kept = _chosen(_auto(intent, "10Gi"), fleet, before=before)
    assert kept.profile.name == "small"
    assert "cheaper is cheaper now" in kept.note
    changed = _auto(intent, "10Gi", batching={"maxBatchSize": 2})
    assert _chosen(changed, fleet, before=before).profile.name == "cheaper"


def test_a_chosen_profile_that_is_gone_is_replaced(intent: Intents) -> None:
    before = {"hardware": _chosen(_auto(intent)).status}
    rest = {name: body for name, body in FLEET.items() if name != "small"}
    assert _chosen(_auto(intent), rest, before=before).profile.name == "middle"


def test_a_refusal_for_good_moves_on_and_is_not_forgotten_until_the_spec_changes(intent: Intents) -> None:
    model = _auto(intent)
    status: Body = {"hardware": _chosen(model).status}
    tried = []
    for _ in range(4):
        status = {"hardware": dict(status["hardware"]), "failure": {"reason": "PrecisionUnsupported"}}
        found = _choose(model, before=status)
        if isinstance(found, Problem):
            break
        tried.append(found.profile.name)
        status["hardware"] = found.status
    assert tried == ["middle", "large", "unpriced"]
    assert isinstance(found, Problem)
    assert "small was refused there (PrecisionUnsupported)" in found.message
    # What is stored beside the problem: the next round, which knows of no failure any more, must come to the same.
    stored = {"hardware": remember_refusal(model, status)}
    assert _refused(model, before=stored).reason == "NoProfileFits"
    assert _chosen(_auto(intent, batching={"maxBatchSize": 2}), before=stored).profile.name == "small"


def test_only_what_is_refused_for_good_makes_auto_move_on() -> None:
    assert REFUSED_ON_HARDWARE <= PERMANENT_REFUSALS


def test_a_failure_that_other_hardware_does_not_mend_moves_nothing(intent: Intents) -> None:
    before = {"hardware": _chosen(_auto(intent)).status, "failure": {"reason": "DigestMismatch"}}
    assert _chosen(_auto(intent), before=before).profile.name == "small"


def test_a_named_profile_is_refused_when_the_declared_sum_exceeds_it_and_says_how_many_rows_fit(
    intent: Intents,
) -> None:
    memory = {"weights": "8Gi", "activationsPerRow": "1Gi"}
    model = intent(
        model={"source": "builtin://qca", "memory": memory}, hardware={"profile": "small"}, batching={"maxBatchSize": 64}
    )  # fmt: skip
    found = _refused(model)
    assert found.reason == "DoesNotFit"
    assert (
        "needs weights 8.00 GiB in fp32 (declared) + 64 rows x 1.00 GiB (declared) = 72.0 GiB"
        in found.message
    )
    assert (
        "profile 'small' has 16.0 GiB: lower spec.batching.maxBatchSize from 64 to 8 or less" in found.message
    )


def test_weights_that_do_not_fit_at_all_need_fewer_bits(intent: Intents) -> None:
    model = intent(
        model={"source": "builtin://qca", "memory": {"weights": "40Gi"}}, hardware={"profile": "small"}
    )
    assert "set a smaller spec.precision.policy than fp32" in _refused(model).message


def test_a_guess_refuses_nothing(intent: Intents) -> None:
    found = _chosen(intent(hardware={"profile": "small"}))
    assert "its memory was not checked, as spec.model.memory is empty" in found.note
    assert "neededBytes" not in found.status


def test_what_runs_on_a_profile_is_not_refused_there_for_what_was_declared(intent: Intents) -> None:
    memory = {"weights": "1Gi", "activationsPerRow": "4Gi"}
    model = intent(model={"source": "builtin://qca", "memory": memory}, hardware={"profile": "small"})
    config = {"metadata": {"name": "qca-1"}, "data": {names.CONFIG_FILE: config_text(model.serving)}}
    observed = Observed(children={(CONFIG_MAP, "qca-1"): config})
    told = {"precision": {"revision": "qca-1", "weightBytes": GIB}}
    assert _refused(model, before=told, observed=observed).reason == "DoesNotFit"
    ran = {**told, "hardware": {"profile": "small"}}
    assert "(measured)" in _chosen(model, before=ran, observed=observed).note


def test_an_unknown_name_says_which_there_are(intent: Intents) -> None:
    found = _refused(intent(hardware={"profile": "tpu"}))
    assert found.reason == "ProfileNotFound"
    assert (
        "'tpu', which does not exist: use one of large, middle, small, spot, unpriced, auto" in found.message
    )


def test_a_wrong_profile_is_named_where_it_is_asked_for_and_passed_over_by_auto(intent: Intents) -> None:
    wrong = _named({"metadata": {"name": "wrong"}, "spec": {"resourceNam": "x"}})
    assert _refused(intent(hardware={"profile": "wrong"}), wrong).reason == "InvalidProfile"
    assert "wrong is invalid" in _chosen(intent(hardware=AUTO), {**wrong, **FLEET}).note


profiles = st.builds(
    _profile,
    name=st.from_regex(r"[a-z]{1,6}", fullmatch=True),
    gib=st.integers(0, 100),
    price=st.none() | st.decimals(0, 10, places=2).map(str),
    spot=st.booleans(),
    resourceName=st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", ""]),
)


@given(
    bodies=st.lists(profiles, max_size=8),
    gib=st.integers(0, 120),
    spot=st.booleans(),
    count=st.integers(1, 2),
    seed=st.randoms(use_true_random=False),
)
def test_auto_never_takes_what_does_not_fit_or_was_not_allowed_and_order_and_repetition_change_nothing(
    bodies: list[Body], gib: int, spot: bool, count: int, seed: random.Random
) -> None:
    spec = {
        "model": {"source": "builtin://qca", "memory": {"weights": f"{gib}Gi"}},
        "hardware": {"profile": "auto", "allowSpot": spot, "count": count},
    }
    model = parse_model({"metadata": {"name": "qca", "namespace": "demo", "uid": "u"}, "spec": spec})
    assert isinstance(model, ModelIntent)
    fleet = _named(*bodies)
    found = _choose(model, fleet)
    shuffled = list(fleet.items())
    seed.shuffle(shuffled)
    assert _choose(model, dict(shuffled)) == found
    if isinstance(found, Problem):
        return
    chosen = found.profile
    assert chosen.memory_bytes is not None
    assert gib * GIB <= chosen.memory_bytes
    assert spot or not chosen.is_spot
    assert count == 1 or chosen.resource_name
    again = _choose(model, fleet, before={"hardware": found.status})
    assert again == found
