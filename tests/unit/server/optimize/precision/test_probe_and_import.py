"""What the machine can do, and that bitsandbytes comes without network and compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from atheria_server.core.precision import PrecisionError
from atheria_server.optimize.precision import nf4, probe

INTEL = "processor : 0\nmodel name\t: Intel Xeon 8480\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16\n"
ARM = "processor : 0\nBogoMIPS : 50\nFeatures\t: fp asimd bf16 i8mm fphp\n"


def test_the_cpu_is_told_by_its_name_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(INTEL)

    found = probe("cpu", file)

    assert (found.kind, found.name, found.sm) == ("cpu", "Intel Xeon 8480", None)
    assert found.multiplies_bf16
    assert not found.multiplies_fp16
    assert found.torch == torch.__version__
    assert found.bitsandbytes


def test_an_arm_cpu_has_features_instead(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(ARM)

    found = probe("cpu", file)

    assert found.name
    assert found.multiplies_bf16
    assert found.multiplies_fp16


def test_a_machine_that_says_nothing_can_do_nothing_special(tmp_path: Path) -> None:
    found = probe("cpu", tmp_path / "none")

    assert not found.multiplies_bf16


def test_a_bitsandbytes_that_cannot_be_imported_is_a_refusal_with_the_alternative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "bitsandbytes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", None)
    compiler = torch.compile

    class Missing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "bitsandbytes":
                raise ImportError("no library for this torch")

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])

    with pytest.raises(
        PrecisionError, match="cannot be used here: no library for this torch; install the extra optimize"
    ):
        nf4.load_bitsandbytes()
    assert torch.compile is compiler


FRESH = """
import sys, types
fetched = []
fake = types.ModuleType("kernels")
fake.get_kernel = lambda *a, **k: fetched.append(a)
sys.modules["kernels"] = fake
import torch
compiled = []
compiler = torch.compile
torch.compile = lambda *a, **k: compiled.append(a) or compiler(*a, **k)
mine = torch.compile
from atheria_server.optimize.precision.nf4 import Nf4Linear, load_bitsandbytes
"""


def test_the_import_neither_fetches_kernels_nor_compiles_and_leaves_both_as_they_were() -> None:
    code = FRESH + (
        "load_bitsandbytes()\n"
        "assert not fetched and not compiled, (fetched, compiled)\n"
        "assert sys.modules['kernels'] is fake and torch.compile is mine\n"
        "odd = torch.nn.Linear(7, 3)\n"
        "layer = Nf4Linear(odd, torch.float32, compress_statistics=False)\n"
        "with torch.inference_mode():\n"
        "    assert layer(torch.ones(2, 7)).shape == (2, 3)\n"
        "assert 'torch._inductor.compile_fx' not in sys.modules and not compiled\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=100, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
