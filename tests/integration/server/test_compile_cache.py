"""Two pods that start together: one compiles, the other waits and takes what was made. Really compiled, in two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 240
POD = """
import json, sys
from dataclasses import asdict
import numpy as np
from atheria_contract.optimization import CacheConfig, CompileConfig
from atheria_server.models.contract import WarmupCall
from atheria_server.models.qca import reference
from atheria_server.optimize.compiling import BucketCompiler, CompileCache, compile_facts
from atheria_server.optimize.loaded import load_model
from atheria_server.optimize.warm_up import warm

folder, key = sys.argv[1:]
shapes = [(16, 8, 8)]
loaded, eager = (load_model("builtin://qca", {"law": "kerr"}) for _ in range(2))
facts = compile_facts(model_digest="", code_digest="", device="cpu", mode="default", precision="fp32",
                      row_buckets=(1,), shapes=shapes)
config = CacheConfig(directory=folder, key_file=key, is_shared=True)
with CompileCache(config, facts, wait_seconds=90) as cache:
    compiler = BucketCompiler(CompileConfig(mode="default"), "cpu")
    loaded.api.compile_with(compiler)
    warm(loaded, shapes, (1,), clock=lambda: 0.0)
    compiler.freeze()
    report = cache.finish(compiler.statistics().compile_seconds)
call = WarmupCall(inputs={"seed": np.array([3])}, parameters={"height": 8, "width": 8, "steps": 9})
states = [one.compute(call)["state"] for one in (loaded, eager)]
from torch._dynamo.utils import counters
print(json.dumps({
    **asdict(report), **asdict(compiler.statistics()), "infidelity": 1 - reference.fidelity(*states).min(),
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
    assert first["made"] == 2
    assert second["made"] == 0
    for one in found:
        assert one["infidelity"] <= 1e-6
        assert (one["compilations_in_service"], one["eager_fallbacks"], one["recompiles"]) == (0, 0, 0)
    assert [path.name for path in (shared / "compiled").iterdir()] == [first["key"]]
