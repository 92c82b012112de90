"""A LitAPI's own `health()`: asked once a second, so that every answer about readiness can count it.

LitServe asks it for `/health` only. Here a LitAPI that is not well is not ready either: for probes, for gRPC health and
in the index. Run by `app`; LitAPIs that do not override `health` are never asked.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import litserve

_LOG = logging.getLogger("atheria.service")
PERIOD_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 5.0
"""An answer that takes longer counts as no."""


class HealthWatch:
    """Tells `report` at each change whether all LitAPIs are well, beginning with yes."""

    def __init__(self, apis: Sequence[Any], report: Callable[[bool], None]) -> None:
        self._apis = [api for api in apis if type(api).health is not litserve.LitAPI.health]
        self._report = report

    @property
    def needed(self) -> bool:
        """Whether a LitAPI has a `health` of its own."""
        return bool(self._apis)

    async def run(self) -> None:
        """For ever."""
        before = True
        while True:
            now = all([await self._is_well(api) for api in self._apis])
            if now != before:
                before = now
                self._report(now)
            await asyncio.sleep(PERIOD_SECONDS)

    async def _is_well(self, api: Any) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if inspect.iscoroutinefunction(api.health):
                    return bool(await api.health())
                return bool(await asyncio.to_thread(api.health))
        except Exception as error:  # noqa: BLE001 - the user's own check may raise anything, and that means no
            _LOG.warning("event=health_failed litapi=%s error=%r", type(api).__name__, error)
            return False
