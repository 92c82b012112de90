"""The rank with the generator: its pool and its network look as any others, and tell the other ranks what is done with them.

The other ranks' pools get the same calls in the same order, so they hold the same slots; only their heads differ. What is
told waits for the next pass and goes with it: one broadcast of integers, one of embeddings, positions and mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from atheria_server.models.text.causal import StepCache
from atheria_server.models.text.parallel.around import AroundModel
from atheria_server.models.text.parallel.messages import Kind, Message, encode
from atheria_server.models.text.parallel.split import Ranks, SplitModel
from atheria_server.models.text.pool import CachePool, PassCache, Slot


class Lead:
    """What is to be told. One thread."""

    def __init__(self, ranks: Ranks) -> None:
        """`ranks` is this process, the first."""
        self._ranks = ranks
        self._told: list[Message] = []

    def tell(self, kind: Kind, *numbers: int) -> None:
        """Goes with the next pass."""
        self._told.append(Message(kind=kind, numbers=numbers))

    def send(self, *tensors: Tensor) -> None:
        """All that was told, and the tensors of its pass. RuntimeError when a rank is gone."""
        numbers = torch.tensor(encode(self._told), dtype=torch.int64)
        self._told.clear()
        for tensor in (torch.tensor([len(numbers)]), numbers, *tensors):
            dist.broadcast(tensor.contiguous(), 0, group=self._ranks.orders)

    def end(self) -> None:
        """The other ranks return from `follow`."""
        self.tell(Kind.END)
        self.send()


@dataclass(slots=True, eq=False)
class LeadSlot:
    """A slot that all ranks have under this number."""

    lead: Lead
    number: int
    slot: Slot

    @property
    def length(self) -> int:
        """As in `Slot`."""
        return self.slot.length

    @property
    def held(self) -> int:
        """As in `Slot`."""
        return self.slot.held

    def truncate(self, length: int) -> None:
        """As in `Slot`."""
        self.slot.truncate(length)
        self.lead.tell(Kind.TRUNCATE, self.number, length)

    def close(self, content: Sequence[int] = ()) -> None:
        """As in `Slot`."""
        self.slot.close(content)
        self.lead.tell(Kind.CLOSE, self.number, *content)


class LeadPool:
    """The `CachePool` of the generator."""

    def __init__(self, pool: CachePool, lead: Lead) -> None:
        """`pool` has this rank's heads."""
        self._pool = pool
        self._lead = lead
        self._slots = 0

    @property
    def budget_bytes(self) -> int:
        """Of this rank."""
        return self._pool.budget_bytes

    @property
    def free_bytes(self) -> int:
        """Of this rank."""
        return self._pool.free_bytes

    @property
    def used_bytes(self) -> int:
        """Of this rank."""
        return self._pool.used_bytes

    def bytes_for(self, tokens: int) -> int:
        """Of this rank."""
        return self._pool.bytes_for(tokens)

    def open(self, capacity: int, content: Sequence[int], reusable: int) -> LeadSlot:
        """As in `CachePool`, in all ranks."""
        slot = self._pool.open(capacity, content, reusable)
        self._slots += 1
        self._lead.tell(Kind.OPEN, self._slots, capacity, reusable, *content)
        return LeadSlot(self._lead, self._slots, slot)

    def step(self, rows: Sequence[tuple[Slot, int]]) -> LeadPass:
        """As in `CachePool`; the other ranks begin theirs with the pass."""
        ours = [(slot, real) for slot, real in rows if isinstance(slot, LeadSlot)]
        if len(ours) != len(rows):
            raise ValueError("a row's slot is of another pool: open slots by the pool of the leading rank")
        numbers = tuple(number for slot, real in ours for number in (slot.number, real))
        return LeadPass(self._pool.step([(slot.slot, real) for slot, real in ours]), numbers)


@dataclass(slots=True, eq=False)
class LeadPass:
    """This rank's cache of a pass, and the rows that the other ranks are told."""

    cache: PassCache
    rows: tuple[int, ...]
    """Slot and real new tokens of each."""

    @property
    def longest(self) -> int:
        """As in `PassCache`."""
        return self.cache.longest

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As in `StepCache`."""
        return self.cache.update(layer, keys, values)

    def commit(self) -> None:
        """As in `PassCache`; the other ranks have done it."""
        self.cache.commit()


class LeadModel(AroundModel):
    """The `CausalModel` of the generator: what leads to logits is computed here alone, the others get what is fed."""

    def __init__(self, network: SplitModel, lead: Lead) -> None:
        """`network` is this rank's part."""
        super().__init__(network)
        self._lead = lead

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        """As in `CausalModel`, in all ranks. RuntimeError when one of them is gone."""
        if not isinstance(cache, LeadPass):
            raise TypeError(
                f"the cache is a {type(cache).__name__}: begin the step by the pool of the leading rank"
            )
        rows, new, width = embeddings.shape
        longest = 0 if mask is None else mask.shape[-1]
        self._lead.tell(Kind.FORWARD, rows, new, width, longest, *cache.rows)
        tensors = (embeddings, positions) if mask is None else (embeddings, positions, mask.to(torch.uint8))
        self._lead.send(*tensors)
        return self._network.forward(embeddings, positions, mask, cache)
