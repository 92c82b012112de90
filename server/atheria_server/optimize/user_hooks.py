"""Runs the user's own warm-up functions before a worker says ready. Part of `optimize.pipeline`.

A function that raises, or does not return within its time, ends the start; the front holds it to the time
(`engine.phases`), because nothing in this process can stop code that never comes back.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from atheria_server.core.errors import WARMUP_FAILED, ModelRefusedError
from atheria_server.engine.phases import Phase, Progress
from atheria_server.models.entry_point import EntryPointError, load_entry_point


def run_hooks(api: Any, hooks: Sequence[str], *, timeout_seconds: float, progress: Progress) -> None:
    """Call each function with the LitAPI after its setup. Raises ModelRefusedError."""
    for index, text in enumerate(hooks):
        name = f"warmup.hooks[{index}]"
        progress(
            Phase(
                name="running hooks",
                done=index,
                total=len(hooks),
                detail=text,
                bound_seconds=timeout_seconds,
                overdue=f"{WARMUP_FAILED}: {name} {text!r} did not return within {timeout_seconds:g} s; "
                "make it shorter or raise warmup.hookTimeout",
            )
        )
        try:
            result = load_entry_point(name, text)(api)
        except EntryPointError as error:
            raise ModelRefusedError(WARMUP_FAILED, str(error)) from error
        except Exception as error:
            raise ModelRefusedError(
                WARMUP_FAILED, f"{name} {text!r} raised {type(error).__name__}: {error}"
            ) from error
        if inspect.iscoroutine(result):
            result.close()
            raise ModelRefusedError(
                WARMUP_FAILED,
                f"{name} {text!r} is a coroutine function; expected one that returns when it is done",
            )
