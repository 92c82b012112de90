"""Two pods that start together: one compiles, the other waits and takes what was made. Really compiled, in two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 900
POD = """
import json, sys
from dataclasses import asdict
import torch, torch._inductor.compile_fx
from atheria_contract.optimization import CacheConfig, CompileConfig
from atheria_server.optimize.compiling import BucketCompiler, CompileCache, compile_facts

folder, key = sys.argv[1:]
facts = compile_facts(model_digest="", code_digest="", device="cpu", mode="default", precision="fp32",
                      row_buckets=(2,), shapes=[(3,)])
config = CacheConfig(directory=folder, key_file=key, is_shared=True)
x = torch.arange(6.0).view(2, 3)
with CompileCache(config, facts, wait_seconds=800) as cache:
    compiler = BucketCompiler(CompileConfig(mode="default"), "cpu")
    function = compiler(lambda x: torch.sin(x) * 2 + x, name="wave")
    function(x)
    compiler.freeze()
    report = cache.finish(compiler.statistics().compile_seconds)
from torch._dynamo.utils import counters
print(json.dumps({
    **asdict(report), **asdict(compiler.statistics()), "values": function(x).tolist(),
    "made": counters["inductor"]["fxgraph_cache_miss"],
}))
"""


@pytest.mark.timeout(2 * START_SECONDS)
def test_of_two_pods_that_start_together_one_compiles_and_both_compute_the_same(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32).hex().encode())
    shared = tmp_path / "shared"
    pods = [
        subprocess.Popen(
            [sys.executable, "-c", POD, str(shared), str(key)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    found: list[dict[str, Any]] = []
    try:
        for pod in pods:
            out, _ = pod.communicate(timeout=START_SECONDS)
            assert pod.returncode == 0
            found.append(json.loads(out.splitlines()[-1]))
    finally:
        for pod in pods:
            pod.kill()
            pod.wait()
    first, second = sorted(found, key=lambda one: str(one["state"]), reverse=True)
    assert (first["state"], first["published"]) == ("miss", True)
    assert (second["state"], second["published"]) == ("hit", False)
    assert (first["made"], second["made"]) == (1, 0)
    assert first["values"] == second["values"]
    for one in found:
        assert (one["compilations_in_service"], one["eager_fallbacks"], one["recompiles"]) == (0, 0, 0)
    assert [path.name for path in (shared / "compiled").iterdir()] == [first["key"]]
