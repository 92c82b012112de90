"""A revision whose share ended is kept for as long as a call may wait, counted from the end and not from when it was last looked at."""

from __future__ import annotations

from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.retired import Ends, ends_of_shares, retired_of, with_inherited
from atheria_gateway.core.shares import Share

QCA = ModelKey(namespace="demo", name="qca")
OLD, NEW = "qca-aaa", "qca-bbb"
KEEP_SECONDS = 300.0


def look(before: Ends, now_seconds: float, *revisions: str, models: tuple[ModelKey, ...] = (QCA,)) -> Ends:
    shares = {QCA: [Share(revision=name, weight=50, endpoints=()) for name in revisions]} if revisions else {}
    return ends_of_shares(before, shares, models, now_seconds, KEEP_SECONDS)


def test_it_is_kept_from_the_end_of_its_share_however_long_ago_the_last_look_was() -> None:
    ends = look({}, 0, OLD, NEW)
    assert retired_of(ends) == {}
    ends = look(ends, 10_000)
    assert retired_of(ends) == {QCA: (OLD, NEW)}
    ends = look(ends, 10_299)
    assert retired_of(ends) == {QCA: (OLD, NEW)}
    assert look(ends, 10_300) == {}


def test_one_that_gets_a_share_again_is_not_retired_and_its_time_begins_anew() -> None:
    ends = look(look({}, 0, OLD, NEW), 100)
    ends = look(ends, 200, OLD, "qca-ccc")
    assert retired_of(ends) == {QCA: (NEW,)}
    ends = look(ends, 450)
    assert retired_of(ends) == {QCA: (OLD, "qca-ccc")}


def test_a_model_that_is_gone_keeps_nothing() -> None:
    assert look(look({}, 0, OLD, NEW), 1, models=()) == {}


def test_a_revision_that_envoy_has_from_an_earlier_activator_is_kept_as_long_as_one_that_just_ended() -> None:
    ends = look(with_inherited({}, [(QCA, OLD), (QCA, NEW)], 50), 60, NEW, "qca-ccc")
    assert retired_of(ends) == {QCA: (OLD,)}
    assert retired_of(look(ends, 349, NEW, "qca-ccc")) == {QCA: (OLD,)}
    assert retired_of(look(ends, 350, NEW, "qca-ccc")) == {}


def test_what_is_known_of_a_revision_is_not_changed_by_what_envoy_has() -> None:
    ends = look(look({}, 0, OLD, NEW), 100)
    assert with_inherited(ends, [(QCA, OLD), (QCA, NEW)], 200) == ends
