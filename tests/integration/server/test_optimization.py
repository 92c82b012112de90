"""Precision, quality and warm-up of a real server: what may be served is, and says so; what may not, is refused by name."""

from __future__ import annotations

import json
import runpy
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.integration.server.harness import SERVED, Server

pytestmark = pytest.mark.timeout(300)

DESCRIBED = "python://torch_models:DescribedNetwork"
PLAIN = "python://torch_models:PlainNetwork"
WIDTH = 64


def report_of(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.http}/v2/health/optimization", timeout=30) as answer:
        report: dict[str, Any] = json.load(answer)
    return report


def last_line(*arguments: str) -> str:
    """Of a server that does not start."""
    server = Server(*arguments)
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    return server.lines[-1]


def config_file(folder: Path, **sections: Any) -> str:
    file = folder / "model.json"
    file.write_text(json.dumps({"name": "m", "source": DESCRIBED, **sections}), encoding="utf-8")
    return str(file)


def test_the_hierarchy_of_the_seeds_passes_its_gate_and_nf4_everywhere_does_not(tmp_path: Path) -> None:
    cache = ("--cache", str(tmp_path))
    with Server("builtin://qca", "--precision", "hierarchy", *cache) as server:
        report = report_of(server)
        assert (report["quality"]["passed"], report["quality"]["reason"]) == (True, "Passed")
        kept = {layer["name"]: layer["precision"] for layer in report["precision"]["layers"]}
        assert kept == {"law.hidden.0": "int8", "law.hidden.1": "nf4", "law.out": "bf16"}
        assert report["weight_bytes"] == sum(layer["bytes_after"] for layer in report["precision"]["layers"])
        assert server.metric("atheria_model_weight_bytes") == report["weight_bytes"]
        assert server.metric("atheria_model_quality_accepted") == 1
    refusal = last_line("builtin://qca", "--precision", "nf4", *cache)
    assert refusal.startswith("atheria-server: error: QualityRejected: C1_")
    assert "C4_" in refusal
    assert "allowed is at most 5 %" in refusal
    # The verdict outlives the process: the second refusal needs no golden run.
    server = Server("builtin://qca", "--precision", "nf4", *cache)
    try:
        assert server.wait_exit() == 1
        assert server.lines[-1] == refusal
        assert not any("judging" in line for line in server.lines)
    finally:
        server.kill()


def test_a_variant_that_fails_is_served_only_where_that_is_allowed_and_the_report_says_so(
    tmp_path: Path,
) -> None:
    metric = ("--quality-metric", "torch_models:too_far", "--precision", "bf16", "--cache", str(tmp_path))
    refusal = last_line(DESCRIBED, *metric)
    assert "QualityRejected: distance is 7, allowed is at most 0.05" in refusal
    with Server(DESCRIBED, *metric, "--allow-unvalidated") as server:
        quality = report_of(server)["quality"]
        assert (quality["passed"], quality["reason"]) == (False, "AllowedUnvalidated")
        assert quality["measurements"] == [
            {"name": "distance", "value": 7.0, "limit": 0.05, "better": "lower", "outcome": "failed"}
        ]
        assert server.metric("atheria_model_quality_accepted") == 0


def test_a_plain_litapi_is_judged_on_the_sample_requests_and_refused_without_any(tmp_path: Path) -> None:
    options = ("--precision", "bf16", "--cache", str(tmp_path / "cache"))
    assert "QualityRejected: the LitAPI declares no tensors" in last_line(PLAIN, *options)
    x = np.random.default_rng(0).standard_normal((2, WIDTH)).astype(np.float32)
    request = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, WIDTH], "data": x.ravel().tolist()}]}
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request), encoding="utf-8")
    with Server(PLAIN, *options, "--warmup-request", str(file)) as server, server.stub() as stub:
        quality = report_of(server)["quality"]
        assert (quality["passed"], quality["reason"]) == (True, "Passed")
        network = runpy.run_path(str(SERVED / "torch_models.py"))["network"]()
        expected = network(torch.from_numpy(x)).detach().numpy()
        answer = stub.infer(stub.request(x))["y"]
        assert 0 < np.abs(answer - expected).max() < 0.02, "bf16 weights round, and no more than that"


def test_hooks_run_before_ready_with_the_litapi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Server(DESCRIBED, "--warmup-hook", "torch_models:mark"):
        assert (tmp_path / "hook-ran").read_text(encoding="utf-8") == "DescribedNetwork"


def test_a_hook_that_never_returns_ends_the_start_when_its_time_is_over(tmp_path: Path) -> None:
    warmup = {"hooks": ["torch_models:hang"], "hook_timeout_seconds": 0.5}
    server = Server.from_arguments("--config", config_file(tmp_path, warmup=warmup))
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    assert server.lines[-1].startswith(
        "atheria-server: error: WarmupFailed: warmup.hooks[0] 'torch_models:hang' did not return within 0.5 s"
    )


def test_a_model_without_networks_cannot_be_quantised() -> None:
    line = last_line("builtin://echo", "--precision", "int8")
    assert "PrecisionUnsupported: precision.policy is 'int8', and EchoApi has no torch.nn.Module" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--precision", "int4"],
            "precision.policy is 'int4'; allowed: fp32, bf16, fp16, int8, nf4, hierarchy, auto",
        ),
        (["--group-precision", "tail=nf4"], "names group 'tail'; allowed: encoder, backbone, head"),
        (["--compile", "fast"], "compile.mode is 'fast'; allowed: off, default, reduce-overhead"),
        (["--quality", "off"], "set allow_unvalidated, or a profile"),
        (["--quality-limit", "C4=low"], "--quality-limit 'low': expected a number"),
        (["--row-buckets", "1,16"], "expected sizes from 1 to max_batch_size 8"),
    ],
)
def test_a_wrong_word_on_the_command_line_is_named_with_what_is_allowed(
    arguments: list[str], words: str
) -> None:
    server = Server("builtin://echo", *arguments)
    try:
        assert server.wait_exit() == 2
    finally:
        server.kill()
    assert words in server.lines[-1]
