"""The module that the parameter `class` names, made from config.json, with its weights. Worker only.

The class comes from the image, never from the source: files that were downloaded are not imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import nn

from atheria_server.models.entry_point import load_entry_point
from atheria_server.sources.errors import UnusableSourceError
from atheria_server.sources.weights import load_into

_CONFIG: Final = "config.json"


def build_module(folder: Path, class_path: str, *, weights_only: bool) -> nn.Module:
    """In evaluation mode, without gradients. Raises UnusableSourceError and EntryPointError;
    what the class itself raises passes through."""
    kind: Any = load_entry_point("parameter class", class_path)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UnusableSourceError(
            f"parameter class is {class_path!r}; expected a class derived from torch.nn.Module"
        )
    arguments = _arguments(folder)
    try:
        made = kind.from_config(arguments) if hasattr(kind, "from_config") else kind(**arguments)
    except TypeError as error:
        raise UnusableSourceError(
            f"{class_path} does not take the arguments of {_CONFIG} ({', '.join(arguments) or 'none'}): {error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise UnusableSourceError(f"{class_path}.from_config gave {type(made).__name__}; expected the module")
    load_into(made, folder, weights_only=weights_only)
    return made.eval().requires_grad_(False)


def _arguments(folder: Path) -> Mapping[str, Any]:
    path = folder / _CONFIG
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableSourceError(f"{_CONFIG} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UnusableSourceError(f"{_CONFIG} is no object; expected the arguments of the class by name")
    return found
