"""An exported program gives what its module gives, in every layout, size and number of rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atheria_server.core.tensors import float32_of
from atheria_server.models.contract import Batch, is_described
from atheria_server.models.torch_program.api import TorchProgramApi
from atheria_server.models.torch_program.archive import ProgramError
from atheria_server.sources.digest import digest_of
from atheria_server.sources.errors import UnusableSourceError


def answer(api: Any, **inputs: Any) -> dict[str, Any]:
    valid = api.validate(inputs, {}, streaming=False)
    return dict(api.predict(Batch(inputs=valid.inputs, parameters={}, rows=valid.rows)))


def served(path: Path) -> TorchProgramApi:
    api = TorchProgramApi({}, path=path)
    api.setup("cpu")
    return api


class Steps(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            y = x * 2
        return y, y.sum(1, keepdim=True)


class Shared(nn.Module):
    """One layer whose weights serve twice, one that stands alone, and names that are Python's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.twice = nn.Linear(3, 3)
        self.add_module("class", nn.Linear(3, 3))
        self.norm = nn.LayerNorm(3)
        self.alone = nn.Linear(3, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for module in (self.twice, self.twice, getattr(self, "class"), self.norm):
            x = module(x)
        found: Tensor = self.alone(x)
        return found


@pytest.mark.parametrize("layout", ["mix_file", "old_mix_file"])
def test_a_program_computes_what_its_module_computes(
    layout: str, mix: nn.Module, request: pytest.FixtureRequest
) -> None:
    api = served(request.getfixturevalue(layout))
    assert is_described(api)
    x, gain = torch.randn(3, 2, 6, 20), torch.rand(3)
    found = answer(api, x=x.numpy(), gain=gain.numpy())
    with torch.no_grad():
        wanted = mix(x, gain)
    assert list(found) == ["image", "mean", "half"]
    assert np.array_equal(found["image"], wanted["image"].numpy())
    assert np.array_equal(found["mean"], wanted["mean"].numpy())
    assert np.array_equal(float32_of(found["half"]), wanted["half"].float().numpy())


def test_the_signature_is_that_of_the_export(mix_file: Path) -> None:
    api = TorchProgramApi({}, path=mix_file)
    found = api.metadata()
    assert [(t.name, t.datatype, t.shape) for t in found.inputs] == [
        ("x", "FP32", (-1, 2, -1, -1)),
        ("gain", "FP32", (-1,)),
    ]
    assert [(t.name, t.datatype) for t in found.outputs] == [
        ("image", "FP32"),
        ("mean", "FP32"),
        ("half", "BF16"),
    ]
    default = api.warmup_calls([], 3)[0].inputs
    assert {name: array.shape for name, array in default.items()} == {"x": (3, 2, 8, 12), "gain": (3,)}


def test_more_rows_than_the_program_takes_are_computed_in_parts(mix_file: Path) -> None:
    api = served(mix_file)  # takes 1 to 5
    x, gain = np.random.default_rng(0).random((12, 2, 4, 4), np.float32), np.ones(12, np.float32)
    together = answer(api, x=x, gain=gain)
    for row in (0, 4, 5, 11):
        alone = answer(api, x=x[row : row + 1], gain=gain[:1])
        assert np.allclose(together["image"][row], alone["image"][0], atol=1e-6)


def test_a_fixed_number_of_rows_is_filled_up(exported: Any) -> None:
    api = served(exported(nn.Linear(4, 2), (torch.zeros(3, 4),)))
    x = np.random.default_rng(0).random((4, 4), np.float32)
    found = answer(api, input=x)["output"]
    assert found.shape == (4, 2)
    assert np.array_equal(found[3], answer(api, input=x[3:])["output"][0])
    frames = list(api.stream_frames(Batch(inputs={"input": x}, parameters={}, rows=4)))
    assert np.array_equal(frames[0].outputs["output"], found)


def test_what_this_server_does_not_run_is_refused_with_a_way_out(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"run_decompositions\(\{\}\)"):
        served(exported(Steps(), (torch.zeros(2, 3),)))
    program = torch.export.export(Steps(), (torch.zeros(2, 3),)).run_decompositions({})
    torch.export.save(program, tmp_path / "steps.pt2")
    found = answer(served(tmp_path / "steps.pt2"), x=np.ones((2, 3), np.float32))
    assert np.array_equal(found["output_1"], [[6.0], [6.0]])


@pytest.mark.parametrize(
    ("module", "example", "words"),
    [
        (nn.BatchNorm1d(3).train(), torch.zeros(2, 3), "training mode.*call eval"),
        (nn.Dropout().train(), torch.zeros(2, 3), "training mode.*call eval"),
        (nn.Flatten(0), torch.zeros(2, 3), "one and the same batch"),
        (nn.Identity(), torch.zeros(2, dtype=torch.complex64), "datatype"),
        (nn.Identity(), torch.tensor(1.0), "single value"),
    ],
    ids=["batch norm", "dropout", "no batch", "complex", "single value"],
)
def test_a_program_that_cannot_be_served_is_refused_at_start(
    exported: Any, module: nn.Module, example: Tensor, words: str
) -> None:
    path = exported(module, (example,))
    with pytest.raises(ProgramError, match=words):
        served(path)


def test_layers_have_their_names_again_so_that_they_can_be_quantised(mix_file: Path, exported: Any) -> None:
    network = served(mix_file).network
    assert network is not None
    layers = {name: type(module) for name, module in network.named_modules() if hasattr(module, "stride")}
    assert layers == {"layers.convolution": nn.Conv2d, "layers.out": nn.Conv2d}
    assert "layers.norm.weight" in dict(network.named_parameters())
    both = served(exported(Shared(), (torch.ones(2, 3),)))
    assert both.network is not None
    assert [type(m) for m in both.network.modules() if isinstance(m, nn.Linear)] == [nn.Linear]
    x = np.ones((2, 3), np.float32)
    with torch.no_grad():
        assert np.array_equal(answer(both, x=x)["output"], Shared()(torch.ones(2, 3)).numpy())


def test_a_compiled_program_gives_the_same(mix_file: Path) -> None:
    """Compiled by torch's own tracer alone; the kernels are the compiler's business."""
    api = served(mix_file)
    x, gain = torch.randn(2, 2, 8, 12), torch.rand(2)
    assert api.network is not None
    with torch.no_grad():
        plain = api.network(x, gain)
        compiled = torch.compile(api.network, fullgraph=True, backend="eager")(x, gain)
    assert all(torch.equal(a, b) for a, b in zip(plain, compiled, strict=True))


def test_the_digest_is_checked_before_anything_is_read(mix_file: Path) -> None:
    TorchProgramApi({}, path=mix_file, digest=digest_of(mix_file)).setup("cpu")
    with pytest.raises(UnusableSourceError, match="has digest"):
        TorchProgramApi({}, path=mix_file, digest="sha256:" + "0" * 64).setup("cpu")


def test_parameters_are_refused(mix_file: Path) -> None:
    with pytest.raises(UnusableSourceError, match="no parameter 'law'"):
        TorchProgramApi({"law": "nca"}, path=mix_file)


def test_the_front_never_imports_torch(mix_file: Path) -> None:
    script = """
import sys, pathlib
import numpy as np
from atheria_server.models.registry import load_served
api = load_served("file://" + sys.argv[1], {}, "").main
call = api.warmup_calls([], 2)[0]
assert api.validate(call.inputs, call.parameters, streaming=False).rows == 2
api.metadata()
print("torch" in sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", script, str(mix_file)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
