"""One step over sequences whose keys and values are all kept as computed; made by `pool.CachePool`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from atheria_server.models.text.cache.blocks import BlockPool
from atheria_server.models.text.cache.step_plan import RowPlan, writes


class ExactStep:
    """A `causal.StepCache`: writes the new tokens to their blocks, gathers each row's blocks into one tensor per layer.

    The tensors that `update` gives are those of the next layer as well: use them up before it.
    """

    def __init__(
        self, pool: BlockPool, rows: Sequence[RowPlan], block_tokens: int, commit: Callable[[], None]
    ) -> None:
        self.commit = commit
        """Call it once every layer is updated: the new tokens then belong to their sequences."""
        self.longest = max(plan.after for plan in rows)
        """Tokens that each row of `update`'s results has; rows of fewer are padded behind."""
        self._pool = pool
        sample = pool.layers[0]["keys"]
        kv_heads = sample.shape[1]
        tables = [_table(plan, block_tokens) for plan in rows]
        widest = max(map(len, tables))
        # A row of fewer blocks repeats its own first: what stands there is masked.
        table = torch.tensor(
            [table + table[:1] * (widest - len(table)) for table in tables], device=sample.device
        )
        heads = torch.arange(kv_heads, device=sample.device)
        self._blocks = (table[:, None, :] * kv_heads + heads[:, None]).flatten()
        self._shape = (len(rows), kv_heads, widest * block_tokens, sample.shape[-1])
        places = writes(rows, block_tokens)
        self._rows, self._tokens, self._targets, self._offsets = torch.tensor(
            [(place.row, place.token, place.block, place.offset) for place in places], device=sample.device
        ).unbind(1)
        self._one_each = all(plan.new == 1 for plan in rows)
        self._gathered = {
            name: sample.new_empty(len(self._blocks), sample[0, 0].numel()) for name in ("keys", "values")
        }

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See `causal.StepCache`."""
        return self._update(layer, "keys", keys), self._update(layer, "values", values)

    def _update(self, layer: int, name: str, new: Tensor) -> Tensor:
        plane, gathered = self._pool.layers[layer][name], self._gathered[name]
        fresh = new[:, :, 0] if self._one_each else new[self._rows, :, self._tokens]
        # A NaN would reach whoever gets the block later through the mask; the row that made it shows it in its hidden states.
        plane[self._targets, :, self._offsets] = torch.nan_to_num(fresh)
        torch.index_select(plane.view(-1, gathered.shape[1]), 0, self._blocks, out=gathered)
        return gathered.view(self._shape)[:, :, : self.longest]


def _table(plan: RowPlan, block_tokens: int) -> list[int]:
    """All exact blocks of a row behind the step."""
    table = list(plan.exact)
    first_new = -(-plan.before // block_tokens)
    return table + [plan.written[block] for block in range(first_new, -(-plan.after // block_tokens))]
