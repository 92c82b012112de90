"""Who asks for the call that is being answered; see `core.callers` for the names.

A transport sets it at the start of each call, in that call's own task; tasks made there inherit it. `engine.service`
reads it for the caller's limit. It is empty where nothing tells callers apart: without keys, client certificates and
a limit.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

CALLER: Final[ContextVar[str]] = ContextVar("atheria_caller", default="")
