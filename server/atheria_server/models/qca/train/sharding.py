"""Divides the state of a training among processes: ZeRO's optimiser shards, or FSDP's shards of everything.

Both average the gradients, so a step equals that of one process with the whole batch, but for rounding. With `fsdp` the
law is one group: its weights are whole while an iteration computes, the gradients and Adam's state never are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from atheria_server.models.qca.train.options import TrainingOptions


def sharded(rollout: nn.Module, options: TrainingOptions) -> tuple[nn.Module, Optimizer]:
    """The module to call and the optimiser to step. With processes, a process group must exist."""
    arguments: dict[str, Any] = {"lr": options.learning_rate, **({"fused": True} if options.fused else {})}
    if options.shard == "zero":
        from torch.distributed.optim import ZeroRedundancyOptimizer
        from torch.nn.parallel import DistributedDataParallel

        parallel = DistributedDataParallel(rollout)
        return parallel, ZeroRedundancyOptimizer(rollout.parameters(), optimizer_class=Adam, **arguments)
    if options.shard == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(torch.device(options.device).type, (options.processes,))
        fully_shard(rollout, mesh=mesh)
    return rollout, Adam(rollout.parameters(), **arguments)


def whole(tensor: Tensor) -> Tensor:
    """A tensor's full value on the CPU; of a shard, all processes must ask."""
    gathered = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    value: Tensor = gathered.detach().cpu()
    return value


def like(value: Tensor, sample: Tensor) -> Tensor:
    """`value` laid out as `sample`: this process's shard of it, where `sample` is one."""
    if not hasattr(sample, "full_tensor"):
        return value.to(sample.device, sample.dtype)
    from torch.distributed.tensor import distribute_tensor

    shard: Any = sample
    return distribute_tensor(value, shard.device_mesh, shard.placements)


def adam_state(optimizer: Optimizer, names: list[str], *, is_writer: bool) -> dict[str, Tensor]:
    """`<weight>.<exp_avg | exp_avg_sq | step>` -> full value; all processes must ask, only the writer gets it."""
    if hasattr(optimizer, "consolidate_state_dict"):
        optimizer.consolidate_state_dict(to=0)
        if not is_writer:
            return {}
    state = optimizer.state_dict()["state"]
    return {
        f"{names[index]}.{kind}": whole(value)
        for index, values in state.items()
        for kind, value in values.items()
    }


def load_adam_state(
    optimizer: Optimizer, names: list[str], saved: dict[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The opposite of `adam_state`; `groups` are the optimiser's settings, learning rate included."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in saved.items():
        weight, _, kind = name.rpartition(".")
        index = names.index(weight)
        state.setdefault(index, {})[kind] = (
            value if kind == "step" else like(value, parameters[index].detach())
        )
    optimizer.load_state_dict({"state": state, "param_groups": groups})
