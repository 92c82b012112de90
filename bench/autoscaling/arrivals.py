"""Made-up hours like the recorded ones: a Poisson process whose rate follows a Markov chain (MMPP, steps of one second).

parameters.json has, for each recorded hour, the rates and transitions that `python -m bench.autoscaling.fit` found, and quantiles of the
tokens. With a seed they give calls without any recorded data: these are what the policy is tuned on, and what runs offline.
"""

from __future__ import annotations

import bisect
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_operator.simulation.calls import Call, TokenModel

PARAMETERS: Final = Path(__file__).with_name("parameters.json")
SHARES: Final = (*(step / 40 for step in range(39)), 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 1.0)
"""At which shares the quantiles of tokens are; closer where the long answers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalModel:
    """What was fitted to one hour."""

    seconds: int
    rates: tuple[float, ...]
    """Arrivals a second, by state."""
    transitions: tuple[tuple[float, ...], ...]
    """From state (row) to state, each second."""
    input_tokens: tuple[int, ...]
    """Quantiles at SHARES."""
    output_tokens: tuple[int, ...]


def load_models(path: Path = PARAMETERS) -> dict[str, ArrivalModel]:
    """The fitted models by name of the hour."""
    return {
        name: ArrivalModel(
            seconds=one["seconds"],
            rates=tuple(one["rates"]),
            transitions=tuple(tuple(row) for row in one["transitions"]),
            input_tokens=tuple(one["inputTokens"]),
            output_tokens=tuple(one["outputTokens"]),
        )
        for name, one in json.loads(path.read_text(encoding="utf-8"))["models"].items()
    }


def synthetic_calls(model: ArrivalModel, seed: int, tokens: TokenModel) -> tuple[Call, ...]:
    """Calls of one made-up hour in order of arrival; the same seed gives the same calls."""
    draw = random.Random(seed)
    state = draw.randrange(len(model.rates))
    calls: list[Call] = []
    for second in range(model.seconds):
        count = _poisson(draw, model.rates[state])
        calls.extend(
            tokens.call(
                moment,
                _from_quantiles(draw, model.input_tokens),
                _from_quantiles(draw, model.output_tokens),
            )
            for moment in sorted(second + draw.random() for _ in range(count))
        )
        state = draw.choices(range(len(model.rates)), weights=model.transitions[state])[0]
    return tuple(calls)


def _poisson(draw: random.Random, mean: float) -> int:
    """Knuth's product of uniform numbers: exact, and quick for the tens a second that traces have."""
    limit, product, count = math.exp(-mean), draw.random(), 0
    while product > limit:
        product *= draw.random()
        count += 1
    return count


def _from_quantiles(draw: random.Random, quantiles: Sequence[int]) -> int:
    share = draw.random()
    above = max(1, bisect.bisect_left(SHARES, share))
    part = (share - SHARES[above - 1]) / (SHARES[above] - SHARES[above - 1])
    return round(quantiles[above - 1] + part * (quantiles[above] - quantiles[above - 1]))
