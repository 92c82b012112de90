"""Which of the named namespaces the operator may look into now. Kopf ends when one of its watches is refused, so it gets these only.

A namespace that is deleted takes its Role along; without this the operator would end for all the others, too. Used by `app`, which
starts kopf anew when the answer changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from atheria_operator.runtime.ports import ClusterError

_LOG = logging.getLogger(__name__)
EVERY_SECONDS: Final = 15.0
"""Between two looks; a watch that goes on lives much longer than the Role."""


class ReachChanged(Exception):  # noqa: N818 - not an error
    """Other namespaces than before may be looked into."""


class Namespaces(Protocol):
    """The API server."""

    async def may_read(self, namespace: str) -> bool:
        """Whether models may be listed there. Raises ClusterError where it gives no answer."""
        ...


class Reach:
    """Keeps `namespaces`; with no names all of the cluster is served, and nothing is asked."""

    def __init__(self, cluster: Namespaces, named: Sequence[str], namespaces: list[str]) -> None:
        """`namespaces` is shared with who lists them; it is brought up to date in place."""
        self._cluster = cluster
        self._named = named
        self._refused: set[str] = set()
        self.namespaces = namespaces

    @property
    def is_empty(self) -> bool:
        """There are names, and none of them may be looked into."""
        return bool(self._named) and not self.namespaces

    async def look(self) -> bool:
        """Whether `namespaces` has changed. One of which nothing is heard stays as it was; at the start it counts as allowed."""
        before = list(self.namespaces)
        for name in self._named:
            try:
                is_allowed = await self._cluster.may_read(name)
            except ClusterError as error:
                _LOG.debug("namespace=%s does not say whether it may be read: %s", name, error)
                continue
            if not is_allowed and name not in self._refused:
                self._refused.add(name)
                _LOG.warning(
                    "namespace=%s is refused and left out until it has a Role for this operator: is it there, and was the chart "
                    "installed with it in operator.namespaces?",
                    name,
                )
            elif is_allowed and name in self._refused:
                self._refused.remove(name)
                _LOG.info("namespace=%s may be read again", name)
        self.namespaces[:] = [name for name in self._named if name not in self._refused]
        return self.namespaces != before

    async def run(self) -> None:
        """Until cancelled. Raises ReachChanged."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if await self.look():
                raise ReachChanged(f"namespaces are now {', '.join(self.namespaces) or 'none'}")
