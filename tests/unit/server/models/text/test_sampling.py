from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.sampling import Sampler, draw, likeliest, nucleus, seeded

LOGITS = torch.tensor([0.0, 1.0, 2.0, 3.0, -1.0])
DRAWS = 4000


def shares(**options: float) -> dict[int, float]:
    generator = seeded(0)
    given = GenerationOptions(**{"temperature": 1.0, **options})  # type: ignore[arg-type]
    counted = Counter(draw(LOGITS, given, generator) for _ in range(DRAWS))
    return {token: count / DRAWS for token, count in counted.items()}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution_at_the_temperature(temperature: float) -> None:
    expected = (LOGITS / temperature).softmax(-1)
    found = shares(temperature=temperature)
    for token, probability in enumerate(expected.tolist()):
        # Five standard deviations; the seed is fixed, so this passes always or never.
        assert abs(found.get(token, 0.0) - probability) < 5 * (probability / DRAWS) ** 0.5 + 1e-3


def test_top_k_keeps_the_likeliest() -> None:
    assert set(shares(top_k=2)) == {2, 3}
    assert set(shares(top_k=1)) == {3}


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    probabilities = LOGITS.softmax(-1)
    assert set(shares(top_p=float(probabilities[3]) - 0.01)) == {3}
    assert set(shares(top_p=float(probabilities[3]) + 0.01)) == {2, 3}
    assert set(shares(top_p=1e-9)) == {3}


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    def tokens(seed: int) -> list[int]:
        generator = seeded(seed)
        return [draw(LOGITS, GenerationOptions(temperature=1.0), generator) for _ in range(50)]

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)


def test_greedy_takes_no_draw_and_gives_logprobs_where_they_are_asked_for() -> None:
    sampler = Sampler(torch.stack((LOGITS, LOGITS.flip(0))))
    generator = seeded(0)
    before = generator.get_state()
    assert sampler.token(0, GenerationOptions(), generator).token == 3
    found = sampler.token(1, GenerationOptions(logprobs=True), generator)
    assert found.token == 1
    assert found.logprob == pytest.approx(float(LOGITS.log_softmax(-1)[3]))
    assert torch.equal(generator.get_state(), before)


def test_all_tokens_are_drawn_from_without_sorting_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def sorts(*_: object, **__: object) -> None:
        raise AssertionError("the vocabulary was sorted")

    monkeypatch.setattr(torch.Tensor, "topk", sorts)
    monkeypatch.setattr(torch.Tensor, "sort", sorts)
    assert set(shares()) == set(range(len(LOGITS)))


def test_a_token_without_probability_is_never_drawn_not_even_where_rounding_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(1.0, dtype=torch.float64))
    logits = torch.tensor([0.0, 1.0, -float("inf"), -float("inf")])
    assert draw(logits, GenerationOptions(temperature=1.0), seeded(0)) == 1


def sorted_whole(scores: Tensor) -> Tensor:
    return torch.sort(scores, descending=True, stable=True).indices


def by_sorting_all(probabilities: Tensor, mass: float) -> tuple[list[int], list[float]]:
    order = sorted_whole(probabilities)
    sums = probabilities[order].cumsum(-1)
    kept = int(torch.searchsorted(sums, mass)) + 1
    return order[:kept].tolist(), sums[:kept].tolist()


@st.composite
def many_logits(draw_: st.DrawFn) -> Tensor:
    """From all alike to a single peak, with many ties where they are whole numbers."""
    size = draw_(st.integers(1, 1200))
    spread = draw_(st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    generator = seeded(draw_(st.integers(0, 2**32)))
    found = torch.randn(size, generator=generator, dtype=torch.float64) * spread
    return found.round() if draw_(st.booleans()) else found


@settings(max_examples=150, deadline=None)
@given(many_logits(), st.integers(1, 1800))
def test_the_likeliest_are_those_of_a_stable_sort_of_all(scores: Tensor, count: int) -> None:
    assert likeliest(scores, count).tolist() == sorted_whole(scores)[:count].tolist()


@settings(max_examples=150, deadline=None)
@given(many_logits(), st.floats(1e-12, 1 - 1e-12))
def test_the_nucleus_is_that_of_a_stable_sort_of_all(scores: Tensor, mass: float) -> None:
    probabilities = scores.softmax(-1)
    tokens, sums = nucleus(probabilities, mass)
    assert (tokens.tolist(), sums.tolist()) == by_sorting_all(probabilities, mass)


def test_of_equally_likely_tokens_those_with_the_smaller_numbers_are_in() -> None:
    even = torch.full((1000,), 0.001, dtype=torch.float64)
    assert nucleus(even, 0.0955)[0].tolist() == list(range(96))
    assert likeliest(even, 3).tolist() == [0, 1, 2]


def test_a_peaked_distribution_of_many_tokens_is_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def watched(sort: Callable[..., Any]) -> Callable[..., Any]:
        def sorts(self: Tensor, *rest: Any, **named: Any) -> Any:
            sizes.append(len(self))
            return sort(self, *rest, **named)

        return sorts

    for name in ("sort", "argsort", "topk"):
        monkeypatch.setattr(torch.Tensor, name, watched(getattr(torch.Tensor, name)))
    logits = torch.randn(128_000, generator=seeded(0)) * 5
    draw(logits, GenerationOptions(temperature=1.0, top_p=0.9), seeded(0))
    assert sizes
    assert max(sizes) <= 128_000 // 8


@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 3}, {"top_k": 3, "top_p": 0.9}])
def test_a_temperature_next_to_nothing_draws_the_likeliest(options: dict[str, float]) -> None:
    given_options = GenerationOptions(temperature=5e-324, **options)  # type: ignore[arg-type]
    assert draw(LOGITS, given_options, seeded(0)) == 3


@pytest.mark.parametrize("options", [{}, {"top_p": 0.9}, {"top_k": 3}, {"top_k": 3, "top_p": 0.9}])
def test_logits_that_are_no_numbers_fail_no_text(options: dict[str, float]) -> None:
    broken = torch.tensor([1.0, float("nan"), 2.0, 0.0])
    given_options = GenerationOptions(temperature=1.0, **options)  # type: ignore[arg-type]
    assert 0 <= draw(broken, given_options, seeded(0)) < len(broken)
