"""`profile`, `evaluate` and `economics` as a person runs them, on the smallest model; times are not looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atheria_contract.serving import ServingConfig
from atheria_server.commands import economics, evaluate, profile
from atheria_server.core.checklist import SUMMARY_BYTES

TINY = ["builtin://qca", "--set", "law=kerr", "--warmup-shape", "16,8,8", "--rows", "1,2", "--rounds", "5"]


def test_profile_prints_a_report_and_draws_the_batch_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert profile.main([*TINY, "--request", "steps=2", "--plot", str(tmp_path / "t.svg")]) == 0
    assert "-bound: " in capsys.readouterr().out
    assert "<svg" in (tmp_path / "t.svg").read_text()
    assert profile.main([*TINY, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["bottleneck"]["advice"]


def test_evaluate_has_every_check_of_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    summary = tmp_path / "summary.json"
    code = evaluate.main([*TINY, "--output", "json", "--summary", str(summary), "--p99-ms", "1e9"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["passed"] else evaluate.EXIT_FAILED_CHECK)
    names = [line["name"] for line in report["lines"]]
    for part in (
        *("quality", "throughput", "latency p50", "latency p95", "latency p99", "weights", "peak memory"),
        *(
            "fragmentation",
            "device busy (goal 75%)",
            "device busy (goal 80%)",
            "data loading",
            "joules",
            "cost per 1000",
        ),
    ):
        assert any(name.startswith(part) for name in names), part
    results = {line["name"]: line["result"] for line in report["lines"]}
    assert results["latency p99"] == "pass"
    absent = [line for line in report["lines"] if line["result"] == "n/a"]
    assert all(line["note"] for line in absent)
    assert len(summary.read_bytes()) <= SUMMARY_BYTES + 1
    assert json.loads(summary.read_text()) == report["summary"]


def test_evaluate_tells_what_a_narrower_precision_saves_and_loses(capsys: pytest.CaptureFixture[str]):
    narrow = ["python://bench.dashboards.network:Network", "--precision", "bf16", "--rows", "1,2"]
    code = evaluate.main([*narrow, "--rounds", "5", "--loss", "0", "--output", "json"])
    assert code == evaluate.EXIT_FAILED_CHECK
    report = json.loads(capsys.readouterr().out)
    lines = {line["name"]: line for line in report["lines"]}
    assert {"precision: speed-up", "precision: memory saved", "precision: answers move by"} <= lines.keys()
    assert not any(name.startswith(("combined", "compile: ")) for name in lines), (
        "one option is no combination"
    )
    assert 0 < lines["precision: answers move by"]["value"] < 1
    assert "precision: answers move by" in report["summary"]["failed"]
    assert report["summary"]["precisionSavedBytes"] == lines["precision: memory saved"]["value"]
    assert report["summary"]["precision"] == "bf16"


def test_a_limit_that_is_not_kept_gives_exit_status_3(capsys: pytest.CaptureFixture[str]):
    assert evaluate.main([*TINY, "--p99-ms", "0"]) == evaluate.EXIT_FAILED_CHECK
    assert "latency p99" in capsys.readouterr().out.splitlines()[2]


def test_economics_marks_what_is_modelled_and_its_waterfalls_add_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert economics.main([*TINY[3:], "--output", "json", "--plot", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    basis = {row["device"]: row["cost_basis"] for row in report["rows"]}
    assert basis == {"cpu": "measured"} | dict.fromkeys(
        ("L4", "A100-40", "A100-80", "L40S", "H100", "H200"), "modelled"
    )
    assert all(row["price_source"] and row["price_date"] for row in report["rows"])
    for fall in report["waterfalls"].values():
        assert fall["product"] == pytest.approx(fall["total"], rel=0.01)
        names = [step["name"] for step in fall["steps"]]
        assert [name for name in names if name != "hardware"] == [
            *("price", "batch", "compile", "precision", "utilisation", "cold start")
        ]
    assert len(report["days"]) == 2
    for day in report["days"].values():
        parts = day["busy_usd_per_1000"] + day["idle_usd_per_1000"] + day["cold_usd_per_1000"]
        assert parts == pytest.approx(day["total_usd_per_1000"])
    assert len(list(tmp_path.glob("waterfall-*.svg"))) == 2
    assert economics.main(TINY) == 0
    text = capsys.readouterr().out
    assert "## Waterfall: cpu, measured" in text
    assert "has no roofline here" in text  # law kerr


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (profile, ["builtin://none"], "unknown model 'builtin://none'"),
        (profile, ["builtin://qca", "--warmup-shape", "3,8,8"], r"warm-up shape is [3, 8, 8]"),
        (evaluate, ["builtin://qca", "--precision", "int3"], "precision.policy is 'int3'; allowed: fp32"),
        (evaluate, [*TINY, "--price", "Z9"], "no price for 'Z9'"),
        (economics, ["--prices", "/nowhere/prices.json"], "prices.json cannot be read"),
        (economics, ["--config", "/nowhere/model.json"], "/nowhere/model.json"),
        (evaluate, ["--config", "CONFIG", "--workers", "1"], "give SOURCE and options, not --config"),
        (economics, [*TINY, "--nonsense"], "--nonsense"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    command, arguments, words, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = tmp_path / "model.json"
    config.write_text(ServingConfig(name="m", source="builtin://echo").to_json())
    arguments = [str(config) if one == "CONFIG" else one for one in arguments]
    try:
        code = command.main(arguments)
    except SystemExit as end:  # argparse
        code = end.code
    assert code not in (0, None)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (profile, "--rows", "1"),
        (profile, "--rows", "1,x"),
        (profile, "--rounds", "0"),
        (profile, "--request", "steps"),
        (economics, "--utilisation", "0:1"),
        (economics, "--utilisation", "0.5"),
        (economics, "--cold-seconds", "-1:2"),
        (economics, "--inferences-per-day", "0"),
        (evaluate, "--workers", "0,1"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_expected(
    command, option, value, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as end:
        command.main(["builtin://qca", f"{option}={value}"])
    assert end.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err
