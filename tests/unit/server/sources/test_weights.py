"""State dicts: damaged, foreign or dangerous files are each refused by name, before anything is served."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from atheria_server.sources.errors import UnusableSourceError
from atheria_server.sources.weights import load_into


class Evil:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/atheria-was-here"),))  # type: ignore[return-value] # noqa: S108


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


@pytest.fixture
def module() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


@pytest.fixture
def trained(module: nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        name: torch.rand_like(t) if t.is_floating_point() else t + 3
        for name, t in module.state_dict().items()
    }


def test_weights_arrive_in_the_module(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_file(trained, tmp_path / "model.safetensors")
    load_into(module, tmp_path)
    assert all(torch.equal(t, trained[name]) for name, t in module.state_dict().items())


def test_shards_are_found_by_their_index(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    names = list(trained)
    for number, part in enumerate((names[:3], names[3:])):
        save_file({n: trained[n] for n in part}, tmp_path / f"part-{number}.safetensors")
    index = {n: f"part-{int(i >= 3)}.safetensors" for i, n in enumerate(names)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    load_into(module, tmp_path)
    assert torch.equal(module.state_dict()["2.weight"], trained["2.weight"])
    index[names[0]] = "../outside.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(UnusableSourceError, match="names below the folder"):
        load_into(module, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"weight_map": 1}', "[" * 5_000])
def test_an_index_that_is_none_is_a_damaged_file(module: nn.Module, text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(
        UnusableSourceError, match=r"model.safetensors.index.json is damaged .* copy it again"
    ):
        load_into(module, tmp_path)


def test_weights_that_share_memory_are_stored_once(tmp_path: Path) -> None:
    module = Tied()
    save_file({"embedding.weight": torch.ones(5, 3)}, tmp_path / "model.safetensors")
    load_into(module, tmp_path)
    assert torch.equal(module.head.weight, torch.ones(5, 3))


@pytest.mark.parametrize("kept", [0, 4, 50, -1])
def test_a_truncated_file_is_refused(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path, kept: int
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(trained, file)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UnusableSourceError, match=r"model\.safetensors is truncated"):
        load_into(module, tmp_path)


def test_a_datatype_that_nobody_knows_is_refused(module: nn.Module, tmp_path: Path) -> None:
    header = json.dumps({"0.bias": {"dtype": "X9", "shape": [8], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(UnusableSourceError, match="damaged or no safetensors file"):
        load_into(module, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path, value: float
) -> None:
    trained["2.weight"][1, 3] = value
    save_file(trained, tmp_path / "model.safetensors")
    with pytest.raises(UnusableSourceError, match=r"'2\.weight' hold NaN or infinity"):
        load_into(module, tmp_path)


def test_missing_and_unexpected_names_are_listed(module: nn.Module, tmp_path: Path) -> None:
    save_file({f"other.{i}": torch.zeros(1) for i in range(7)}, tmp_path / "model.safetensors")
    with pytest.raises(UnusableSourceError) as error:
        load_into(module, tmp_path)
    text = str(error.value)
    assert "9 missing: 0.weight, 0.bias, 1.weight, 1.bias, 1.running_mean and 4 more" in text
    assert "7 unexpected: other.0, other.1, other.2, other.3, other.4 and 2 more" in text


def test_another_datatype_is_refused(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    trained["0.bias"] = trained["0.bias"].half()
    save_file(trained, tmp_path / "model.safetensors")
    with pytest.raises(UnusableSourceError, match=r"'0\.bias' is torch\.float16.*torch\.float32"):
        load_into(module, tmp_path)


def test_another_shape_is_refused(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    trained["0.bias"] = torch.zeros(9)
    save_file(trained, tmp_path / "model.safetensors")
    with pytest.raises(UnusableSourceError, match=r"'0\.bias' has shape \[9\].*\[8\]"):
        load_into(module, tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_a_pickle_is_refused_with_the_remedy(
    module: nn.Module, trained: dict[str, torch.Tensor], tmp_path: Path, name: str
) -> None:
    torch.save(trained, tmp_path / name)
    with pytest.raises(UnusableSourceError) as error:
        load_into(module, tmp_path)
    assert all(word in str(error.value) for word in (name, "safetensors", "weights_only=true"))
    load_into(module, tmp_path, weights_only=True)
    assert torch.equal(module.state_dict()["2.weight"], trained["2.weight"])


def test_code_in_a_pickle_never_runs(module: nn.Module, tmp_path: Path) -> None:
    with (tmp_path / "model.pt").open("wb") as file:
        pickle.dump({"0.weight": Evil()}, file, protocol=2)
    with pytest.raises(UnusableSourceError, match="more than tensors"):
        load_into(module, tmp_path, weights_only=True)
    torch.save({"0.weight": Evil()}, tmp_path / "model.pt")
    with pytest.raises(UnusableSourceError, match="more than tensors"):
        load_into(module, tmp_path, weights_only=True)
    assert not Path("/tmp/atheria-was-here").exists()  # noqa: S108


def test_a_folder_without_weights_is_refused(module: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UnusableSourceError, match=r"put model\.safetensors there"):
        load_into(module, tmp_path)
