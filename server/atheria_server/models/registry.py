"""From SOURCE to a LitAPI object: `builtin://NAME` or `python://package.module:Class`.

Called once at start by the command line. Only this module knows where the built-in models live.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import litserve

from atheria_server.models.contract import Scalar

BUILTIN: Final = {
    "echo": "atheria_server.models.echo:EchoApi",
    "qca": "atheria_server.models.qca.api:QcaApi",
}


class SourceError(ValueError):
    """The source does not lead to a LitAPI; the message says which part is wrong."""


def load_api(source: str, parameters: Mapping[str, Scalar], digest: str) -> Any:
    """Import the class and build it. Raises SourceError; errors of the class's own `__init__` pass through.

    A class whose `__init__` names `parameters` gets all of them there. Any other gets those that its `__init__` or
    LitAPI's own names (`max_batch_size`, `stream`, ...) as keyword arguments.
    """
    kind = load_class(source)
    accepted = inspect.signature(kind.__init__).parameters
    arguments: dict[str, Any] = {}
    if "parameters" in accepted:
        arguments["parameters"] = dict(parameters)
    else:
        arguments |= _keywords(source, accepted, parameters)
    if "digest" in accepted:
        arguments["digest"] = digest
    elif digest:
        raise SourceError(
            f"{source} cannot check a digest; remove it or give its __init__ an argument named digest"
        )
    return kind(**arguments)


def _keywords(
    source: str, accepted: Mapping[str, inspect.Parameter], parameters: Mapping[str, Scalar]
) -> Mapping[str, Scalar]:
    names = {name for name, p in accepted.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {
        "self"
    }
    if any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        names |= set(inspect.signature(litserve.LitAPI.__init__).parameters) - {"self"}
    if unknown := sorted(set(parameters) - names):
        raise SourceError(
            f"{source} takes no parameter {unknown[0]!r}; allowed: {', '.join(sorted(names)) or 'none'}, "
            "or give its __init__ an argument named parameters"
        )
    return parameters


def load_class(source: str) -> Any:
    """The LitAPI class that the source names. Raises SourceError."""
    scheme, _, rest = source.partition("://")
    if scheme == "builtin":
        if rest not in BUILTIN:
            raise SourceError(
                f"unknown model {source!r}; allowed: {', '.join(f'builtin://{n}' for n in BUILTIN)}"
            )
        path = BUILTIN[rest]
    elif scheme == "python" and ":" in rest:
        path = rest
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
    else:
        raise SourceError(
            f"source is {source!r}; expected builtin://NAME or python://package.module:LitAPIClass"
        )
    module_name, _, class_name = path.partition(":")
    try:
        kind = getattr(importlib.import_module(module_name), class_name, None)
    except ImportError as error:
        raise SourceError(f"source {source!r}: cannot import {module_name}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, litserve.LitAPI)):
        raise SourceError(
            f"source {source!r}: {class_name} in {module_name} is not a class derived from litserve.LitAPI"
        )
    return kind
