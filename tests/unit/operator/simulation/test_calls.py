"""Files of recorded calls: what is read from them, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_operator.simulation.calls import TokenModel, TrafficError, read_calls, work_seconds

TOKENS = TokenModel(base_seconds=0.05, per_input_token_seconds=0.0001, per_output_token_seconds=0.02)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_seconds_of_service_are_taken_as_they_are_and_calls_are_ordered(tmp_path: Path) -> None:
    path = written(tmp_path, "calls.csv", "time,service_seconds\n105.5,2\n100,0.25\n")
    calls = read_calls(path, TOKENS)
    assert [(call.arrival_seconds, call.service_seconds) for call in calls] == [(0.0, 0.25), (5.5, 2.0)]
    assert work_seconds(calls) == 2.25


def test_tokens_become_seconds(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "azure.csv",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,4808,10\n"
        "2023-11-16 18:17:05.9799600,3180,8\n",
    )
    first, second = read_calls(path, TOKENS)
    # 0.05 + 0.0001 * 4808 + 0.02 * 10
    assert first.service_seconds == pytest.approx(0.7308)
    assert first.first_token_seconds == pytest.approx(0.5308)
    assert second.arrival_seconds == pytest.approx(2.0)


def test_lines_of_json_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "calls.jsonl",
        '{"time": "2026-01-01T00:00:00Z", "service_seconds": 1}\n\n{"time": "2026-01-01T00:01:00Z", "service_seconds": 2}\n',
    )
    assert [call.arrival_seconds for call in read_calls(path, TOKENS)] == [0.0, 60.0]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("calls.txt", "time\n1\n", "allowed: .csv with a header line, or .jsonl"),
        ("calls.csv", "time,service_seconds\n", "has no call"),
        ("calls.csv", "when,service_seconds\n1,2\n", "calls.csv:2: has no time"),
        ("calls.csv", "time,service_seconds\n1,-2\n", "calls.csv:2: service_seconds is '-2'"),
        ("calls.csv", "time,service_seconds\n1,nan\n", "service_seconds is 'nan'"),
        ("calls.csv", "time,service_seconds\nyesterday,2\n", "time is 'yesterday'"),
        ("calls.csv", "time,input_tokens\n1,2\n", "neither service_seconds nor both"),
        ("calls.jsonl", '{"time": 1, "service_seconds": 1}\n[1]\n', "calls.jsonl:2: is no JSON object"),
        ("calls.jsonl", "{\n", "calls.jsonl:1: is no JSON object"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_line_and_remedy(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(TrafficError, match=words.replace("(", r"\(").replace(".", r"\.")):
        read_calls(written(tmp_path, name, text), TOKENS)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match="No such file"):
        read_calls(tmp_path / "calls.csv", TOKENS)
