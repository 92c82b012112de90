"""Which files are pickles, and the sentence that refuses them: reading one can run code that somebody put into it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from atheria_server.sources.errors import UnusableSourceError

SUFFIXES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def refusal(file: Path) -> UnusableSourceError:
    """What to raise for one."""
    return UnusableSourceError(
        f"{file.name} is a pickle, which can run code when it is read; convert its weights to safetensors "
        "(safetensors.torch.save_file) or export the model as .pt2; in a folder with atheria.json, weights_only=true "
        "reads tensors and nothing else from it"
    )
