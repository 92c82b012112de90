"""Why a model's functions are not compiled."""

from __future__ import annotations

from atheria_server.core.errors import InvalidCallError


class CompileError(ValueError):
    """A function cannot be compiled as configured; the message names the function, the reason and what to change."""


class CompileUnavailableError(CompileError):
    """This machine or image lacks what the mode needs; the message names it and the modes that do without."""


class NotCompiledError(InvalidCallError):
    """With `on_miss: refuse`: nothing was compiled for the layout of this call."""
