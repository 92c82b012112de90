"""A folder of weights becomes the module that its class, its config.json and its declaration say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from atheria_server.core.errors import FailedError
from atheria_server.models.contract import Batch, InvalidRequestError, is_described
from atheria_server.models.registry import load_served
from atheria_server.sources.digest import digest_of
from atheria_server.sources.errors import UnusableSourceError


class Two(nn.Module):
    def __init__(self, *, width: int, mode: str = "mapping") -> None:
        super().__init__()
        self.table = nn.Embedding(10, width)
        self.mode = mode

    def forward(self, ids: Tensor, gain: Tensor) -> Any:
        found = self.table(ids) * gain[:, None, None]
        gain.zero_()  # what a user's code may do to its inputs
        total = found.sum((1, 2))
        match self.mode:
            case "tuple":
                return found, total
            case "short":
                return found
            case "number":
                return found, 3
            case "flat":
                return found, found
        return {"total": total, "vectors": found}


class Configured(Two):
    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Two:
        return Two(width=config["hidden_size"])


DECLARATION = {
    "inputs": [
        {"name": "ids", "datatype": "INT64", "shape": [-1, "L"], "minimum": 0, "maximum": 9},
        {"name": "gain", "datatype": "FP32", "shape": [-1]},
    ],
    "outputs": [
        {"name": "vectors", "datatype": "FP32", "shape": [-1, "L", 4]},
        {"name": "total", "datatype": "FP32", "shape": [-1]},
    ],
}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> str:
    made = ModuleType("torch_module_test")
    made.Two, made.Configured, made.number = Two, Configured, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made.__name__


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(dict(Two(width=4).state_dict()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"width": 4}))
    (tmp_path / "atheria.json").write_text(json.dumps(DECLARATION))
    return tmp_path


def served(folder: Path, class_path: str, digest: str = "", **parameters: Any) -> Any:
    api = load_served(f"file://{folder}", {"class": class_path, **parameters}, digest).main
    api.setup("cpu")
    return api


def answer(api: Any, rows: int = 2) -> dict[str, Any]:
    ids, gain = np.arange(3 * rows).reshape(rows, 3) % 10, np.full(rows, 2.0, np.float32)
    valid = api.validate({"ids": ids, "gain": gain}, {}, streaming=False)
    found = dict(api.predict(Batch(inputs=valid.inputs, parameters={}, rows=rows)))
    assert (gain == 2.0).all()
    return found


@pytest.mark.parametrize("mode", ["mapping", "tuple"])
def test_a_module_computes_with_its_weights(folder: Path, source: str, mode: str) -> None:
    (folder / "config.json").write_text(json.dumps({"width": 4, "mode": mode}))
    api = served(folder, f"{source}:Two")
    assert is_described(api)
    found = answer(api)
    with torch.no_grad():
        wanted = api.network.table(torch.arange(6).reshape(2, 3)) * 2
    assert list(found) == ["vectors", "total"]
    assert np.array_equal(found["vectors"], wanted.numpy())
    assert not any(p.requires_grad for p in api.network.parameters())
    assert not api.network.training


def test_a_class_may_read_its_own_configuration(folder: Path, source: str) -> None:
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4, "architectures": ["x"]}))
    assert answer(served(folder, f"{source}:Configured"))["vectors"].shape == (2, 3, 4)


def test_values_out_of_bounds_are_refused_before_they_reach_the_module(folder: Path, source: str) -> None:
    api = served(folder, f"{source}:Two")
    with pytest.raises(InvalidRequestError, match="'ids' holds 10; expected at most 9"):
        api.validate({"ids": np.array([[10]]), "gain": np.ones(1, np.float32)}, {}, streaming=False)
    golden = api.golden_calls([], 3)
    assert golden[0].inputs["ids"].max() <= 9


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("short", "gave 1 results|gave Tensor"),
        ("number", "'total' is no tensor"),
        ("flat", "'total' has shape"),
    ],
)
def test_results_that_were_not_declared_fail_by_name(
    folder: Path, source: str, mode: str, words: str
) -> None:
    (folder / "config.json").write_text(json.dumps({"width": 4, "mode": mode}))
    with pytest.raises(FailedError, match=words):
        answer(served(folder, f"{source}:Two"))


@pytest.mark.parametrize(
    ("class_name", "config", "words"),
    [
        ("Two", {"width": 5}, r"'table\.weight' has shape \[10, 4\].*\[10, 5\]"),
        ("Two", {"hidden": 4}, r"config\.json \(hidden\)"),
        ("Two", [], r"config\.json is no object"),
        ("number", {}, "is a int|torch.nn.Module"),
        ("Missing", {}, "has no Missing"),
    ],
)
def test_a_class_that_does_not_fit_is_refused(
    folder: Path, source: str, class_name: str, config: Any, words: str
) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        served(folder, f"{source}:{class_name}")


def test_the_class_is_never_imported_from_the_folder(folder: Path) -> None:
    (folder / "evil_module_of_the_source.py").write_text("raise SystemExit(3)")
    with pytest.raises(ValueError, match="cannot import evil_module_of_the_source"):
        served(folder, "evil_module_of_the_source:Two")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "parameter class is ''; expected .* package.module:Class"),
        ({"class": "Two"}, "parameter class is 'Two'"),
        ({"class": "a:B", "weights_only": "yes"}, "weights_only is 'yes'; expected true or false"),
        ({"class": "a:B", "law": "nca"}, "unknown parameter 'law'; allowed .* class, weights_only"),
    ],
)
def test_wrong_parameters_are_refused(folder: Path, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UnusableSourceError, match=words):
        load_served(f"file://{folder}", parameters, "")


def test_the_digest_of_the_folder_is_checked(folder: Path, source: str) -> None:
    digest = digest_of(folder)
    served(folder, f"{source}:Two", digest)
    (folder / "config.json").write_text(json.dumps({"width": 4, "mode": "tuple"}))
    with pytest.raises(UnusableSourceError, match="has digest"):
        served(folder, f"{source}:Two", digest)


def test_old_weights_are_read_when_it_is_asked_for(folder: Path, source: str) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(Two(width=4).state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UnusableSourceError, match="weights_only=true"):
        served(folder, f"{source}:Two")
    assert answer(served(folder, f"{source}:Two", weights_only=True))


@pytest.mark.parametrize(
    ("name", "words"),
    [("model.pt", "is a pickle"), ("model.bin", "is a pickle"), ("model.onnx", "nothing that can be served")],
)
def test_a_single_file_that_is_no_program_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnusableSourceError, match=words):
        load_served(f"file://{tmp_path / name}", {}, "")


def test_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnusableSourceError, match=r"nothing at /nowhere/m\.pt2; check the path"):
        load_served("file:///nowhere/m.pt2", {}, "")
    with pytest.raises(UnusableSourceError, match="is the claim mounted"):
        load_served("pvc://weights/m.pt2", {}, "")


def test_several_programs_in_a_folder_are_not_guessed_at(tmp_path: Path) -> None:
    for name in ("a.pt2", "b.pt2"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnusableSourceError, match=r"2 exported programs \(a\.pt2, b\.pt2\)"):
        load_served(f"file://{tmp_path}", {}, "")
