"""The bounded places of held calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_gateway.core.hold import Denial, HoldQueue, Refusal, Ticket, handed_back, hold_timeout
from atheria_gateway.core.model import Model, ModelKey

QCA = Model(key=ModelKey(namespace="demo", name="qca"), queue_limit=2, phase="Pending", reason="no node fits")
KERR = Model(key=ModelKey(namespace="demo", name="kerr"), queue_limit=2)


def _admit(queue: HoldQueue, model: Model, now_s: float = 0.0) -> Ticket | Denial:
    return queue.admit(model.key, model, now_s)


def test_a_model_that_does_not_exist_is_unknown() -> None:
    denial = HoldQueue(total_limit=1).admit(QCA.key, None, 0.0)
    assert isinstance(denial, Denial)
    assert denial.refusal is Refusal.UNKNOWN_MODEL
    assert "demo/qca" in denial.message


def test_more_calls_than_the_model_may_hold_are_refused_with_the_field_to_change() -> None:
    queue = HoldQueue(total_limit=100)
    assert isinstance(_admit(queue, QCA), Ticket)
    assert isinstance(_admit(queue, QCA), Ticket)
    denial = _admit(queue, QCA)
    assert isinstance(denial, Denial)
    assert denial.refusal is Refusal.MODEL_FULL
    assert "maxQueueDepth" in denial.message
    assert isinstance(_admit(queue, KERR), Ticket)


def test_more_calls_than_the_gateway_may_hold_are_refused_whatever_their_model() -> None:
    queue = HoldQueue(total_limit=1)
    _admit(queue, QCA)
    denial = _admit(queue, KERR)
    assert isinstance(denial, Denial)
    assert denial.refusal is Refusal.GATEWAY_FULL


def test_leaving_twice_frees_one_place() -> None:
    queue = HoldQueue(total_limit=100)
    first, second = _admit(queue, QCA), _admit(queue, QCA)
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    queue.leave(first)
    queue.leave(first)
    assert queue.held(QCA.key) == queue.total == 1


def test_the_oldest_held_call_tells_the_age() -> None:
    queue = HoldQueue(total_limit=100)
    assert queue.oldest_s(QCA.key, 5.0) == 0.0
    first = _admit(queue, QCA, 1.0)
    _admit(queue, QCA, 3.0)
    assert queue.oldest_s(QCA.key, 5.0) == 4.0
    assert isinstance(first, Ticket)
    queue.leave(first)
    assert queue.oldest_s(QCA.key, 5.0) == 2.0


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 5)), max_size=60))
def test_counts_always_equal_the_tickets_that_are_out_and_never_exceed_the_bounds(
    steps: list[tuple[bool, bool, int]],
) -> None:
    queue = HoldQueue(total_limit=3)
    out: list[Ticket] = []
    for is_arrival, is_qca, which in steps:
        if is_arrival:
            answer = _admit(queue, QCA if is_qca else KERR)
            if isinstance(answer, Ticket):
                out.append(answer)
        elif out:
            queue.leave(out.pop(which % len(out)))
        assert queue.total == len(out) <= 3
        for model in (QCA, KERR):
            assert queue.held(model.key) == sum(one.model == model.key for one in out) <= model.queue_limit
        assert set(queue.waiting_models()) == {one.model for one in out}


def test_a_hold_that_ended_names_the_model_its_phase_the_reason_and_the_next_step() -> None:
    denial = hold_timeout(QCA, QCA.key, 300.0)
    assert denial.refusal is Refusal.TIMED_OUT
    assert "demo/qca had no ready pod for 300 s" in denial.message
    assert "Pending: no node fits" in denial.message
    assert "kubectl describe atheriamodel qca -n demo" in denial.message


def test_a_hold_that_ended_before_the_cluster_was_listed_says_that_the_phase_is_unknown() -> None:
    assert "its phase is unknown" in hold_timeout(None, QCA.key, 1.0).message


def test_a_hold_that_ended_with_busy_pods_says_so() -> None:
    denial = hold_timeout(QCA, QCA.key, 300.0, ready_pods=2)
    assert "the 2 ready pods of model demo/qca had no room for 300 s" in denial.message
    assert "scaling.maxReplicas" in denial.message


@pytest.mark.parametrize(
    ("ready_pods", "words"),
    [
        (None, "this gateway pod ends: call again"),
        (0, "model demo/qca has no ready pod: call again"),
        (1, "no ready pod of model demo/qca has taken this call: call again"),
        (3, "no ready pod of model demo/qca has taken this call: call again"),
    ],
)
def test_a_call_that_is_handed_back_is_told_what_is_known(ready_pods: int | None, words: str) -> None:
    denial = handed_back(QCA.key, ready_pods)
    assert denial.refusal is Refusal.DRAINING
    assert "this gateway pod ends" in denial.message
    assert words in denial.message


def test_one_caller_leaves_its_part_of_the_places_to_others() -> None:
    model = Model(key=QCA.key, queue_limit=4)
    queue = HoldQueue(total_limit=100, caller_share=0.5)

    def admit(caller: str) -> Ticket | Denial:
        return queue.admit(model.key, model, 0.0, caller=caller)

    first = admit("key:greedy")
    assert isinstance(first, Ticket)
    assert isinstance(admit("key:greedy"), Ticket)
    denial = admit("key:greedy")
    assert isinstance(denial, Denial)
    assert denial.refusal is Refusal.CALLER_FULL
    assert (
        "2 of your calls already wait for model demo/qca, allowed to one caller are 2 of 4" in denial.message
    )
    assert isinstance(admit("key:modest"), Ticket)
    queue.leave(first)
    queue.leave(first)
    assert isinstance(admit("key:greedy"), Ticket)


def test_one_callers_part_of_the_gateway_counts_over_all_models() -> None:
    queue = HoldQueue(total_limit=4, caller_share=0.5)
    for model in (QCA, KERR):
        assert isinstance(queue.admit(model.key, model, 0.0, caller="a"), Ticket)
    other = Model(key=ModelKey(namespace="demo", name="other"))
    denial = queue.admit(other.key, other, 0.0, caller="a")
    assert isinstance(denial, Denial)
    assert "at this gateway" in denial.message


def test_callers_that_are_unknown_have_no_share_and_every_share_is_one_call_at_least() -> None:
    queue = HoldQueue(total_limit=100, caller_share=0.01)
    assert isinstance(queue.admit(QCA.key, QCA, 0.0), Ticket)
    assert isinstance(queue.admit(KERR.key, KERR, 0.0, caller="a"), Ticket)
    assert isinstance(queue.admit(KERR.key, KERR, 0.0, caller="a"), Denial)


def test_bytes_in_envoy_are_bounded_by_what_is_declared_and_by_what_is_measured() -> None:
    model = Model(key=QCA.key, queue_limit=1000)
    queue = HoldQueue(total_limit=1000, bytes_limit=2_000_000)

    def admit(body_bytes: int | None = None) -> Ticket | Denial:
        return queue.admit(model.key, model, 0.0, body_bytes=body_bytes)

    large = admit(50_000_000)
    assert isinstance(large, Ticket)
    assert isinstance(admit(50_000_000), Ticket)
    denial = admit(50_000_000)
    assert isinstance(denial, Denial)
    assert denial.refusal is Refusal.BYTES_FULL
    assert "gateway.hold.maxBytes" in denial.message
    assert isinstance(admit(), Ticket)
    queue.leave(large)
    assert isinstance(admit(50_000_000), Ticket)
    small = HoldQueue(total_limit=1000, bytes_limit=2_000_000, measured_bytes=1_999_999)
    assert isinstance(small.admit(model.key, model, 0.0), Denial)
