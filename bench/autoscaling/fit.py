"""Fit the made-up hours to the recorded ones: `python -m bench.autoscaling.fit` writes parameters.json. Needs the recorded hours.

A Poisson hidden Markov chain over the counts of each second, by expectation and maximisation (Baum-Welch, scaled).
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atheria_operator.simulation.calls import TokenModel
from bench.autoscaling.arrivals import PARAMETERS, SHARES
from bench.autoscaling.traces import TRACES, azure_calls, cache_folder

_STATES: Final = {"code": 7, "conv": 4}
_ROUNDS: Final = 300
_Array = npt.NDArray[np.float64]


def main() -> None:
    """Fit all hours."""
    models = {name: _fit(name, cache_folder()) for name in TRACES}
    about = (
        "Fitted by python -m bench.autoscaling.fit to Azure/AzurePublicDataset, AzureLLMInferenceDataset2023 (CC-BY-4.0; Patel et al., "
        "Splitwise, ISCA 2024): rates a second and transitions of a Markov-modulated Poisson process, quantiles of tokens."
    )
    PARAMETERS.write_text(_text({"about": about, "models": models}), encoding="utf-8")


def _fit(name: str, folder: Path) -> dict[str, Any]:
    calls = azure_calls(name, folder, TokenModel())
    seconds = int(calls[-1].arrival_seconds) + 1
    counted = Counter(int(call.arrival_seconds) for call in calls)
    rates, transitions = baum_welch([counted[second] for second in range(seconds)], _STATES[name], _ROUNDS)
    with (folder / TRACES[name].file).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        "seconds": seconds,
        "rates": [round(float(rate), 4) for rate in rates],
        "transitions": [[round(float(one), 5) for one in row] for row in transitions],
        "inputTokens": _quantiles([int(row["ContextTokens"]) for row in rows]),
        "outputTokens": _quantiles([int(row["GeneratedTokens"]) for row in rows]),
    }


def _text(value: Mapping[str, Any]) -> str:
    """JSON with each list of numbers on one line."""
    whole = json.dumps(value, indent=1)
    return re.sub(r"\[[\d\s.,e-]+\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", whole) + "\n"


def _quantiles(values: Sequence[int]) -> list[int]:
    ascending = sorted(values)
    return [ascending[round(share * (len(ascending) - 1))] for share in SHARES]


def baum_welch(counts: Sequence[int], states: int, rounds: int) -> tuple[_Array, _Array]:
    """Rates (ascending at the start) and transition matrix of the likeliest chain; deterministic.

    Begins with rates spread over the counts and states that last ten seconds.
    """
    seen = np.asarray(counts, dtype=float)
    rates = np.concatenate(([0.01], np.geomspace(0.5, max(1.0, seen.max()), states - 1)))
    transitions = np.full((states, states), 0.1 / (states - 1))
    np.fill_diagonal(transitions, 0.9)
    start = np.full(states, 1 / states)
    for _ in range(rounds):
        log = seen[:, None] * np.log(rates) - rates
        emitted = np.exp(log - log.max(axis=1, keepdims=True))
        forward, scale = np.empty_like(emitted), np.empty(len(seen))
        before = start
        for index, row in enumerate(emitted):
            forward[index] = (before if index == 0 else forward[index - 1] @ transitions) * row
            scale[index] = forward[index].sum()
            forward[index] /= scale[index]
        backward = np.ones_like(emitted)
        for index in range(len(seen) - 2, -1, -1):
            backward[index] = transitions @ (emitted[index + 1] * backward[index + 1]) / scale[index + 1]
        likely = forward * backward
        likely /= likely.sum(axis=1, keepdims=True)
        ahead = emitted[1:] * backward[1:] / scale[1:, None]
        moved = transitions * (forward[:-1].T @ ahead)
        transitions = moved / moved.sum(axis=1, keepdims=True)
        rates = np.maximum((likely * seen[:, None]).sum(axis=0) / likely.sum(axis=0), 1e-4)
        start = likely[0]
    return rates, transitions


if __name__ == "__main__":
    main()
