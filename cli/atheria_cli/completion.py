"""Names from the cluster that a shell offers while a person types. Used by options and arguments that take them.

A shell waits for the answer: a cluster that is slow, gone or forbids the look offers nothing, and says nothing.
"""

from __future__ import annotations

from typing import Final

import typer

from atheria_cli.cluster import Cluster
from atheria_cli.errors import CommandError
from atheria_cli.kubectl import in_namespace
from atheria_cli.model.read import KIND

WAIT_SECONDS: Final = 2.0


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """AtheriaModels of the namespace and context that were typed before, without those typed already."""
    where = ("--all-namespaces",) if ctx.params.get("everywhere") else in_namespace(_typed(ctx, "namespace"))
    typed = ctx.params.get("models") or ()
    return [name for name in _names(ctx, incomplete, "get", KIND, *where) if name not in typed]


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of the context that was typed before."""
    return _names(ctx, incomplete, "get", "namespaces")


def contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of kubectl's configuration."""
    return _names(ctx, incomplete, "config", "get-contexts", context="")


def _names(ctx: typer.Context, incomplete: str, *arguments: str, context: str | None = None) -> list[str]:
    cluster = Cluster(context=_typed(ctx, "context") if context is None else context)
    limit = f"--request-timeout={WAIT_SECONDS:g}s"
    try:
        # With nothing to read: one that asks for a password would take what the person types.
        text = cluster.kubectl(*arguments, "-o", "name", limit, timeout_seconds=WAIT_SECONDS, stdin="")
    except (CommandError, OSError):
        return []
    found = (line.rpartition("/")[2] if arguments[0] == "get" else line for line in text.splitlines())
    return sorted({name for name in found if name.startswith(incomplete)})


def _typed(ctx: typer.Context, option: str) -> str:
    return str(ctx.params.get(option) or "")
