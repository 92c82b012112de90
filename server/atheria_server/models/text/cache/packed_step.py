"""One step over sequences whose older tokens are compressed; made by `pool.CachePool`.

In each layer: older blocks are restored once into one tensor of all rows, exact blocks and the new tokens are copied behind
them, blocks that leave the recent window are compressed from there, and new tokens that stay exact are written to their
blocks. All reads of a layer come before its writes, since a block that leaves may be the one that takes new tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from atheria_server.models.text.cache.blocks import BlockPool
from atheria_server.models.text.cache.quantised import Scheme
from atheria_server.models.text.cache.step_plan import RowPlan, writes


class PackedStep:
    """A `causal.StepCache`. New tokens attend to each other as computed, whatever becomes of them.

    The tensors that `update` gives are those of the next layer as well: use them up before it.
    """

    def __init__(
        self,
        exact: BlockPool,
        packed: BlockPool,
        schemes: tuple[Scheme, Scheme],
        rows: Sequence[RowPlan],
        block_tokens: int,
        commit: Callable[[], None],
    ) -> None:
        self.commit = commit
        """Call it once every layer is updated: the new tokens then belong to their sequences."""
        self.longest = max(plan.after for plan in rows)
        """Tokens that each row of `update`'s results has; rows of fewer are padded behind."""
        self._exact, self._packed = exact, packed
        self._schemes = dict(zip(("keys", "values"), schemes, strict=True))
        sample = exact.layers[0]["keys"]

        def columns(places: list[tuple[int, ...]], width: int) -> tuple[Tensor, ...]:
            return torch.tensor(places, dtype=torch.int64, device=sample.device).view(-1, width).unbind(1)

        self._packed_blocks = max(len(plan.packed) for plan in rows)
        # A row of fewer blocks restores block 0 in their place, which exact tokens or the mask then cover.
        self._table = torch.tensor(
            [[*plan.packed, *[0] * (self._packed_blocks - len(plan.packed))] for plan in rows],
            dtype=torch.int64,
            device=sample.device,
        )
        self._held = columns(
            [
                (row, place, block)
                for row, plan in enumerate(rows)
                for place, block in enumerate(plan.exact, start=len(plan.packed))
            ],
            3,
        )
        self._new = columns(
            [(row, token, plan.before + token) for row, plan in enumerate(rows) for token in range(plan.new)],
            3,
        )
        self._leaving = columns(
            [
                (row, place, block)
                for row, plan in enumerate(rows)
                for place, block in enumerate(plan.packed_now, start=len(plan.packed))
            ],
            3,
        )
        self._written = columns(
            [(at.row, at.token, at.block, at.offset) for at in writes(rows, block_tokens)], 4
        )
        blocks = -(-self.longest // block_tokens)
        shape = (len(rows), sample.shape[1], blocks, *sample.shape[2:])
        # Zeros, once a step: what lies behind a row's tokens must be finite.
        self._restored = {name: sample.new_zeros(shape) for name in self._schemes}

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `causal.StepCache`."""
        return self._update(layer, "keys", keys), self._update(layer, "values", values)

    def _update(self, layer: int, name: str, new: Tensor) -> Tensor:
        scheme, restored = self._schemes[name], self._restored[name]
        exact, packed = self._exact.layers[layer][name], self._packed.layers[layer]
        planes = [packed[plane.name] for plane in scheme.planes]
        if self._packed_blocks:
            stored = tuple(plane[self._table].transpose(1, 2) for plane in planes)
            scheme.unpack(stored, restored[:, :, : self._packed_blocks])
        rows, places, blocks = self._held
        restored[rows, :, places] = exact[blocks]
        tokens = restored.flatten(2, 3)
        rows, new_tokens, positions = self._new
        # See ExactStep.
        tokens[rows, :, positions] = torch.nan_to_num(new[rows, :, new_tokens])
        rows, places, blocks = self._leaving
        if len(blocks):
            for plane, codes in zip(planes, scheme.pack(restored[rows, :, places]), strict=True):
                plane[blocks] = codes
        rows, new_tokens, blocks, offsets = self._written
        exact[blocks, :, offsets] = torch.nan_to_num(new[rows, :, new_tokens])
        return tokens[:, :, : self.longest]
