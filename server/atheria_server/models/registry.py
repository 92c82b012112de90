"""From SOURCE to what is served: `builtin://NAME`, `python://package.module:NAME`, or files (see `from_files`).

NAME is a LitAPI class, a LitAPI, a list of LitAPIs or a LitServer. Called once at start by the command line and by every
worker. Only this module knows where the built-in models live.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import litserve

from atheria_server.models.contract import Scalar
from atheria_server.models.served import API_PATH, Served, SourceError, built, check_served, chosen
from atheria_server.sources.source_url import SCHEMES, is_files

BUILTIN: Final = {
    "echo": "atheria_server.models.echo:EchoApi",
    "qca": "atheria_server.models.qca.api:QcaApi",
    "sceneline": "atheria_server.models.text.sceneline_origin:SceneLineApi",
}
_WITH_TORCH: Final = frozenset({"builtin://qca", "builtin://sceneline"})
_WANTED: Final = "a class derived from litserve.LitAPI, a LitAPI, a list of LitAPIs or a LitServer"


def load_served(
    source: str, parameters: Mapping[str, Scalar], digest: str, *, cache_directory: str = ""
) -> Served:
    """Import the module and build what it names. Raises SourceError; errors of the user's own code pass through.

    Files are brought to `cache_directory` first, where they have to be downloaded; raises UnusableSourceError then.

    A class whose `__init__` names `parameters` gets all of them there. Any other gets those that its `__init__` or
    LitAPI's own names (`max_batch_size`, `stream`, ...) as keyword arguments. Objects that the module has built take
    none; of several LitAPIs, the parameter `api_path` chooses one.
    """
    if is_files(source):
        from atheria_server.models.from_files import api_of_files

        return Served(apis=(api_of_files(source, parameters, digest, cache_directory),))
    named = _named(source)
    served = built(named)
    if served is None:
        if not (isinstance(named, type) and issubclass(named, litserve.LitAPI)):
            raise SourceError(f"source {source!r}: it is of type {type(named).__name__}; expected {_WANTED}")
        served = Served(apis=(_instance(source, named, parameters, digest),))
    else:
        served = _as_built(source, served, parameters, digest)
    check_served(source, served)
    return served


def libraries_of(source: str) -> tuple[str, ...]:
    """Large libraries that the model's `setup` imports for certain, so that a worker can import them before the source is there."""
    return ("torch",) if source in _WITH_TORCH or is_files(source) else ()


def _as_built(source: str, served: Served, parameters: Mapping[str, Scalar], digest: str) -> Served:
    if unknown := sorted(set(parameters) - {API_PATH}):
        raise SourceError(
            f"{source} is built by its module and takes no parameter {unknown[0]!r}; allowed: {API_PATH}, "
            "to choose one of several LitAPIs; or name the class instead"
        )
    if digest:
        raise SourceError(f"{source} is built by its module and cannot check a digest; remove it")
    if API_PATH in parameters:
        return replace(served, apis=chosen(source, served.apis, str(parameters[API_PATH])))
    return served


def _instance(source: str, kind: Any, parameters: Mapping[str, Scalar], digest: str) -> Any:
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


def _named(source: str) -> Any:
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
            f"source is {source!r}; expected builtin://NAME, python://package.module:LitAPIClass, or files: "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}"
        )
    module_name, _, name = path.partition(":")
    try:
        with _not_running(source):
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise SourceError(f"source {source!r}: cannot import {module_name}: {error}") from error
    if not hasattr(module, name):
        raise SourceError(f"source {source!r}: {module_name} has no {name}; give the name of {_WANTED}")
    return getattr(module, name)


@contextmanager
def _not_running(source: str) -> Iterator[None]:
    """A script that runs its LitServer when it is imported would start a second server in this process."""
    run = litserve.LitServer.run

    def refused(*_: Any, **__: Any) -> None:
        raise SourceError(
            f"source {source!r} calls LitServer.run() when it is imported; "
            "put that call under `if __name__ == '__main__':`"
        )

    litserve.LitServer.run = refused
    try:
        yield
    finally:
        litserve.LitServer.run = run
