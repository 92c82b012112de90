"""Parameters of single tensors that Triton knows and this server does not have; both transports refuse them here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from atheria_server.core.errors import UnsupportedError

_REFUSED: Final = {
    "shared_memory_region": "shared memory is not offered; send the tensor in the message",
    "classification": "classification is not offered; ask for the tensor and rank its values",
}


def refuse_unsupported(tensor: str, parameters: Iterable[str]) -> None:
    """`tensor` = e.g. "input 'x'", `parameters` = the names given. Raises UnsupportedError for one that is not offered."""
    for name in parameters:
        if (reason := _REFUSED.get(name)) is not None:
            raise UnsupportedError(f"{tensor} has the parameter {name}: {reason}")
