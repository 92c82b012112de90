"""Fixtures: programs exported once for all tests, in both layouts, and a way to damage them."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export, save

Change = Callable[[dict[str, Any]], None]
NEW = "models/model.json"


class Mix(nn.Module):
    """Most of what a program can hold: weights, buffers, constants, sizes, lists of tensors, several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.out = nn.Conv2d(4, 2, 3, padding=1)
        self.register_buffer("scale", torch.full((2, 1, 1), 0.5))

    def forward(self, x: Tensor, gain: Tensor) -> dict[str, Tensor]:
        y = torch.nn.functional.avg_pool2d(torch.relu(self.norm(self.convolution(x))), 2)
        first, second = torch.chunk(self.out(torch.nn.functional.interpolate(y, scale_factor=2.0)), 2, dim=1)
        rows = torch.arange(x.shape[2], dtype=torch.float32)[None, None, :, None]
        image = torch.cat([first, second], 1) * self.scale * gain[:, None, None, None] + rows
        return {"image": image, "mean": y.mean((1, 2, 3)), "half": image.to(torch.bfloat16)}


@pytest.fixture(scope="session")
def mix() -> Mix:
    torch.manual_seed(0)
    return Mix().eval()


def export_to(path: Path, module: nn.Module, arguments: tuple[Tensor, ...], shapes: Any = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(export(module, arguments, dynamic_shapes=shapes), path)
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`exported(module, arguments, shapes)` -> the file."""
    folder = tmp_path_factory.mktemp("exported")

    def _exported(module: nn.Module, arguments: tuple[Tensor, ...], shapes: Any = None) -> Path:
        return export_to(folder / f"{len(list(folder.iterdir()))}.pt2", module, arguments, shapes)

    return _exported


@pytest.fixture(scope="session")
def mix_file(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    batch, high, wide = Dim("b", min=1, max=5), Dim("h", min=2, max=16), Dim("w", min=2, max=16)
    return export_to(
        tmp_path_factory.mktemp("mix") / "mix.pt2",
        mix,
        (torch.randn(2, 2, 8, 12), torch.ones(2)),
        {"x": {0: batch, 2: 2 * high, 3: 2 * wide}, "gain": {0: batch}},
    )


@pytest.fixture(scope="session")
def old_mix_file(mix: Mix, mix_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same program in the layout of torch 2.6."""
    path = tmp_path_factory.mktemp("old") / "mix.pt2"
    with zipfile.ZipFile(mix_file) as new, zipfile.ZipFile(path, "w") as old:
        old.writestr("serialized_exported_program.json", new.read(f"mix/{NEW}"))
        for name, tensors in (("state_dict", dict(mix.state_dict())), ("constants", {})):
            buffer = io.BytesIO()
            torch.save(tensors, buffer)
            old.writestr(f"serialized_{name}.pt", buffer.getvalue())
        old.writestr("version", "8.2")
    return path


@pytest.fixture
def damaged(mix_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """The file with records replaced (None = left out), added, or its JSON records changed."""

    def _damaged(
        *,
        records: dict[str, bytes | None] | None = None,
        program: Change | None = None,
        changes: dict[str, Change] | None = None,
        compression: int = zipfile.ZIP_STORED,
    ) -> Path:
        path = tmp_path / "damaged.pt2"
        replaced: dict[str, bytes | None] = dict(records or {})
        with zipfile.ZipFile(mix_file) as old:
            for name, change in {**(changes or {}), **({NEW: program} if program else {})}.items():
                document = json.loads(old.read(f"mix/{name}"))
                change(document)
                replaced[name] = json.dumps(document).encode()
            with zipfile.ZipFile(path, "w", compression) as new:
                for info in old.infolist():
                    name = info.filename.removeprefix("mix/")
                    data = replaced.pop(name, old.read(info))
                    if data is not None:
                        new.writestr(f"mix/{name}", data)
                for name, data in replaced.items():
                    if data is not None:
                        new.writestr(f"mix/{name}", data)
        return path

    return _damaged
