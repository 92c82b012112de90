# ruff: noqa: T201 - a program for people: it prints
"""Exports a small network as model.pt2, and prints the digest that model.yaml may ask for.

    python export.py [model.pt2]
    atheria-server serve file://$PWD/model.pt2

Needs torch 2.6 or later; nothing of Atheria.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, export, save


class Classifier(nn.Module):
    """Scores of ten classes for grey pictures of any even size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2)
        )
        self.head = nn.Linear(16, 10)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        """`picture` [B, 1, H, W] -> `scores` [B, 10] and `best` [B]."""
        scores = self.head(self.body(picture).mean((2, 3)))
        return {"scores": scores, "best": scores.argmax(1)}


def main(path: Path) -> None:
    """Export with a batch, a height and a width that may vary."""
    torch.manual_seed(0)
    batch, half_height, half_width = (
        Dim("batch", min=1, max=64),
        Dim("h", min=2, max=256),
        Dim("w", min=2, max=256),
    )
    program = export(
        Classifier().eval(),
        (torch.zeros(2, 1, 28, 28),),
        dynamic_shapes={"picture": {0: batch, 2: 2 * half_height, 3: 2 * half_width}},
    )
    save(program, path)
    print(f"{path} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "model.pt2"))
