"""What torch's compiler (Dynamo) says about itself, and how it is kept from compiling while a caller waits.

Its interface for both is counters and callbacks of the process. Imports torch.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import torch._dynamo
from torch._dynamo.callback import callback_handler
from torch._dynamo.utils import counters

_OF_THREAD = threading.local()
MANY: Final = 1_000_000
ALLOWED, FORBIDDEN, REFUSED = range(3)


class _ForbiddenError(RuntimeError):
    """Dynamo may show it as an error of its own: ask `allow` what happened, not the exception."""


def graph_count() -> int:
    """Graphs made in this process so far."""
    return int(counters["stats"]["unique_graphs"])


def graph_break_count() -> int:
    """Places at which functions were split in this process so far."""
    return sum(counters["graph_break"].values())


def never_give_up() -> None:
    """Let torch compile, or be refused to compile, any number of forms of one piece of code.

    After 8 it would run the parts of a split function eagerly without a word; after 256, refusals counted, it would fail.
    """
    for name in ("recompile_limit", "accumulated_recompile_limit", "cache_size_limit"):
        if hasattr(torch._dynamo.config, name):  # noqa: SLF001 - its only name
            setattr(torch._dynamo.config, name, MANY)  # noqa: SLF001 - as above


def listen() -> None:
    """Must have been called before `forbid` has an effect; again after anybody called `torch._dynamo.reset`."""
    if _on_start not in callback_handler.start_callbacks:
        callback_handler.register_start_callback(_on_start)


def forbid() -> None:
    """From now on this thread compiles nothing: what would, raises an exception instead. End it with `allow`.

    On the way of every call, so a pair of functions; a context manager costs several times as much.
    """
    _OF_THREAD.state = FORBIDDEN


def allow() -> bool:
    """Compilation may go on; True = torch wanted to compile meanwhile."""
    refused: bool = _OF_THREAD.state == REFUSED
    _OF_THREAD.state = ALLOWED
    return refused


def _on_start(*arguments: Any) -> None:
    """Of every compilation. CUDA graphs are recorded at run time and tell of it here too: that is no compilation."""
    trigger = getattr(arguments[0], "callback_trigger", None) if arguments else None
    if getattr(_OF_THREAD, "state", ALLOWED) != ALLOWED and getattr(trigger, "name", "DYNAMO") == "DYNAMO":
        _OF_THREAD.state = REFUSED
        raise _ForbiddenError("a compilation in service is not allowed")
