"""All that a rank without the generator does: take what the leading one tells, and compute its part of each pass."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from atheria_server.models.text.attention import attending_by, choose_kernel
from atheria_server.models.text.parallel.messages import Kind, Message, decode
from atheria_server.models.text.parallel.split import Ranks, SplitModel
from atheria_server.models.text.pool import CachePool, Slot


def follow(network: SplitModel, pool: CachePool, ranks: Ranks) -> int:
    """Until the leading rank ends; returns the passes computed. RuntimeError when a rank is gone: the process is to end."""
    slots: dict[int, Slot] = {}
    passes = 0
    while True:
        count = _received(torch.zeros(1, dtype=torch.int64), ranks)
        told = _received(torch.zeros(int(count), dtype=torch.int64), ranks)
        for message in decode(told.tolist()):
            match message.kind:
                case Kind.OPEN:
                    number, capacity, reusable, *content = message.numbers
                    slots[number] = pool.open(capacity, content, reusable)
                case Kind.TRUNCATE:
                    slots[message.numbers[0]].truncate(message.numbers[1])
                case Kind.CLOSE:
                    slots.pop(message.numbers[0]).close(message.numbers[1:])
                case Kind.FORWARD:
                    _compute(network, pool, ranks, slots, message)
                    passes += 1
                case Kind.END:
                    return passes


def _compute(
    network: SplitModel, pool: CachePool, ranks: Ranks, slots: dict[int, Slot], message: Message
) -> None:
    rows, new, width, longest, *told = message.numbers
    embeddings = _received(torch.zeros(rows, new, width, dtype=network.cache_shape.dtype), ranks)
    positions = _received(torch.zeros(rows, new, dtype=torch.int64), ranks)
    mask = None
    if longest:
        mask = _received(torch.zeros(rows, 1, new, longest, dtype=torch.uint8), ranks).bool()
    cache = pool.step([(slots[number], real) for number, real in zip(told[::2], told[1::2], strict=True)])
    # As in `passes.compute_pass`.
    kernel = choose_kernel(keys=cache.longest, masked=mask is not None, device=embeddings.device.type)
    with attending_by(kernel):
        network.forward(embeddings, positions, mask, cache)
    cache.commit()


def _received(tensor: Tensor, ranks: Ranks) -> Tensor:
    dist.broadcast(tensor, 0, group=ranks.orders)
    return tensor
