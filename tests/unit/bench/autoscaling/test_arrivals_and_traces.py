"""Made-up hours are like the recorded ones, and a recorded hour that was changed is refused."""

from __future__ import annotations

import io
import itertools
import urllib.request
from pathlib import Path
from statistics import mean, pstdev

import pytest

from atheria_operator.simulation.calls import Call, TokenModel
from bench.autoscaling import traces
from bench.autoscaling.arrivals import load_models, synthetic_calls
from bench.autoscaling.fit import baum_welch
from bench.autoscaling.traces import TraceUnavailableError, azure_calls


def gaps(calls: tuple[Call, ...]) -> list[float]:
    return [second.arrival_seconds - first.arrival_seconds for first, second in itertools.pairwise(calls)]


@pytest.mark.parametrize(
    # Of the recorded hours: calls, coefficient of variation and the longest of the gaps, mean seconds of service.
    ("name", "calls", "variation", "longest", "service"),
    [("code", 8819, 13.15, 217.2, 0.81), ("conv", 19366, 1.09, 4.3, 4.39)],
)
def test_made_up_hours_have_the_rate_the_burstiness_and_the_gaps_of_the_recorded_ones(
    name: str, calls: int, variation: float, longest: float, service: float
) -> None:
    hours = [synthetic_calls(load_models()[name], seed, TokenModel()) for seed in range(1, 6)]
    assert mean(map(len, hours)) == pytest.approx(calls, rel=0.1)
    assert mean(pstdev(gaps(hour)) / mean(gaps(hour)) for hour in hours) == pytest.approx(variation, rel=0.15)
    assert mean(max(gaps(hour)) for hour in hours) == pytest.approx(longest, rel=0.3)
    assert mean(call.service_seconds for hour in hours for call in hour) == pytest.approx(service, rel=0.05)


def test_the_same_seed_gives_the_same_hour() -> None:
    model = load_models()["code"]
    assert synthetic_calls(model, 7, TokenModel()) == synthetic_calls(model, 7, TokenModel())
    assert synthetic_calls(model, 7, TokenModel()) != synthetic_calls(model, 8, TokenModel())


def test_the_fit_finds_two_rates_that_take_turns() -> None:
    counts = ([0] * 40 + [9, 11, 10, 10] * 10) * 6
    rates, transitions = baum_welch(counts, states=2, rounds=40)
    assert sorted(rates) == pytest.approx([0.0, 10.0], abs=0.05)
    # A state lasts 40 seconds.
    assert min(transitions.diagonal()) == pytest.approx(1 - 1 / 40, abs=0.005)


def test_a_changed_hour_is_refused(tmp_path: Path) -> None:
    (tmp_path / "AzureLLMInferenceTrace_code.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    with pytest.raises(TraceUnavailableError, match="has SHA-256"):
        azure_calls("code", tmp_path, TokenModel())


def test_an_hour_is_fetched_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,100,10\n"
    asked: list[str] = []

    def fetch(url: str, timeout: float) -> io.BytesIO:
        assert timeout > 0
        asked.append(url)
        return io.BytesIO(text)

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    monkeypatch.setitem(
        traces.TRACES,  # type: ignore[arg-type]
        "code",
        traces.Trace(file="code.csv", sha256="7b1b2f0e0e1c9f4f2f6ad9e2b9d4d1f0"),
    )
    with pytest.raises(TraceUnavailableError, match="delete it"):
        azure_calls("code", tmp_path / "cache", TokenModel())
    assert (tmp_path / "cache" / "code.csv").read_bytes() == text
    with pytest.raises(TraceUnavailableError):
        azure_calls("code", tmp_path / "cache", TokenModel())
    assert len(asked) == 1


def test_without_a_network_it_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(url: str, timeout: float) -> io.BytesIO:
        raise TimeoutError(f"{url} {timeout}")

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    with pytest.raises(TraceUnavailableError, match=r"fetch it by hand to .*, or run without it"):
        azure_calls("conv", tmp_path, TokenModel())
