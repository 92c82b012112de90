"""A training that can be continued, as one safetensors file: weights, Adam's state, losses; settings as JSON beside them.

Nothing in it is executed when it is read. Written beside its final name and moved there, so the name always holds a
whole checkpoint, whenever the process is killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FORMAT: Final = "atheria-training-1"
_WEIGHTS, _ADAM, _LOSSES = "law.", "adam.", "losses"


class CheckpointError(ValueError):
    """The file cannot be continued from; the message names it, what was found and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Full values, whatever the training was sharded into."""

    identity: Mapping[str, Any]
    """Of TrainingOptions."""
    iteration: int
    """Iterations done."""
    weights: Mapping[str, Tensor]
    adam: Mapping[str, Tensor]
    """`<weight>.<exp_avg | exp_avg_sq | step>`."""
    groups: Sequence[Mapping[str, Any]]
    """The optimiser's settings."""
    schedule: Mapping[str, Any]
    """The learning rate's."""
    losses: Tensor


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file in one move. Raises CheckpointError."""
    tensors = {
        **{_WEIGHTS + name: value.contiguous() for name, value in checkpoint.weights.items()},
        **{_ADAM + name: value.contiguous() for name, value in checkpoint.adam.items()},
        _LOSSES: checkpoint.losses,
    }
    state = {
        "identity": checkpoint.identity,
        "iteration": checkpoint.iteration,
        "groups": checkpoint.groups,
        "schedule": checkpoint.schedule,
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(save(tensors, metadata={"format": FORMAT, "state": json.dumps(state)}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be written: {error.strerror}; the training's last one is unchanged"
        ) from error


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of an equal training. Raises CheckpointError."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise CheckpointError(
                f"{path} has format {metadata.get('format')!r}, expected {FORMAT}; give the file of --checkpoint"
            )
        state = json.loads(metadata["state"])
        found = Checkpoint(
            identity=state["identity"],
            iteration=state["iteration"],
            weights=_part(tensors, _WEIGHTS),
            adam=_part(tensors, _ADAM),
            groups=[_with_tuples(group) for group in state["groups"]],
            schedule=state["schedule"],
            losses=tensors[_LOSSES],
        )
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read: {error.strerror or error}; leave out --resume to begin anew"
        ) from error
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint: {error}; remove it and begin anew"
        ) from error
    for name, value in identity.items():
        if found.identity.get(name) != value:
            raise CheckpointError(
                f"{path} is of a training with {name}={found.identity.get(name)}, but {name} is {value}; "
                "continue with the same, or begin anew without --resume"
            )
    return found


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _with_tuples(group: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples; Adam wants `betas` as one."""
    return {**group, "betas": tuple(group["betas"])}
