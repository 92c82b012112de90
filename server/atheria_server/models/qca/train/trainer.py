"""One training as an object: advance it by an iteration, ask for its law, save it, continue it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.train.batches import Batches, Pair, batches_from
from atheria_server.models.qca.train.checkpoint import Checkpoint
from atheria_server.models.qca.train.options import TrainingOptions, check_options
from atheria_server.models.qca.train.ranks import Ranks
from atheria_server.models.qca.train.rollout import Rollout, squared_error
from atheria_server.models.qca.train.sharding import adam_state, like, load_adam_state, sharded, whole
from atheria_server.models.qca.train.teacher import imitated
from atheria_server.models.qca.weights import build_law

GRADIENT_NORM_MAX = 1.0


class Trainer:
    """Equal options give equal weights on one machine, however often the training was interrupted."""

    def __init__(self, options: TrainingOptions, ranks: Ranks | None = None) -> None:
        """Draws the first weights. Raises TrainingOptionsError."""
        check_options(options)
        self.options = options
        self.ranks = ranks or Ranks()
        self.iteration = 0
        """Iterations done."""
        self.losses: list[Tensor] = []
        """Of each iteration done, on all processes together."""
        torch.manual_seed(options.seed)
        law = build_law(options.law, options.channels, hidden=options.hidden, depth=options.depth)
        law.rows_alone = not options.rows_together
        law.origin = f"seed {options.seed}, being trained"
        self._blank = copy.deepcopy(law)
        dataset = Batches(options, self.ranks.rank)
        self._rollout, self._optimizer = sharded(Rollout(law.to(options.device), options), options)
        self._law: Law = law
        self._names = [name for name, _ in law.named_parameters()]
        self._schedule = CosineAnnealingLR(self._optimizer, options.iterations)
        self._dataset = dataset
        self._batches: Iterator[Pair] | None = None

    def advance(self) -> None:
        """One iteration. Raises IndexError after the last."""
        if self.iteration >= self.options.iterations:
            raise IndexError(f"all {self.options.iterations} iterations are done; nothing is left to advance")
        if self._batches is None:
            self._batches = batches_from(self._dataset, self.iteration, self.options)
        states, wanted = self._to_device(next(self._batches))
        self._optimizer.zero_grad(set_to_none=self.options.set_to_none)
        loss = self._backward(states, wanted, self.options.horizon(self.iteration))
        nn.utils.clip_grad_norm_(self._rollout.parameters(), GRADIENT_NORM_MAX)
        self._optimizer.step()
        self._schedule.step()
        self.losses.append(self.ranks.mean(loss))
        self.iteration += 1

    def rehearse(self, steps: int) -> None:
        """An iteration over `steps` steps that changes nothing: compiles, fills caches, shows what memory it takes."""
        states = self._dataset[0][0].to(self.options.device)
        self._backward(states, imitated(states, steps), steps)
        self._optimizer.zero_grad(set_to_none=self.options.set_to_none)

    def law(self) -> Law:
        """A copy with the weights as they are now, on the CPU; all processes must ask."""
        law = copy.deepcopy(self._blank)
        law.load_state_dict(self._weights())
        return law.eval()

    def checkpoint(self) -> Checkpoint:
        """Everything that continuing needs; all processes must ask, the first one's is complete."""
        return Checkpoint(
            identity=self.options.identity(),
            iteration=self.iteration,
            weights=self._weights(),
            adam=adam_state(self._optimizer, self._names, is_writer=self.ranks.rank == 0),
            groups=_plain_groups(self._optimizer),
            schedule={k: v for k, v in self._schedule.state_dict().items() if not k.startswith("_get")},
            losses=self.loss_history(),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Continue from a checkpoint of an equal training."""
        with torch.no_grad():
            for name, parameter in self._law.named_parameters():
                parameter.copy_(like(saved.weights[name], parameter.detach()))
        load_adam_state(
            self._optimizer, self._names, dict(saved.adam), [dict(group) for group in saved.groups]
        )
        self._schedule.load_state_dict(dict(saved.schedule))
        self.iteration = saved.iteration
        self.losses = [saved.losses[index] for index in range(len(saved.losses))]
        self._batches = None

    def loss_history(self) -> Tensor:
        """Float32 [iterations done]."""
        return torch.stack([loss.cpu() for loss in self.losses]) if self.losses else torch.zeros(0)

    def _backward(self, states: Tensor, wanted: Tensor, steps: int) -> Tensor:
        """Adds up the gradients of all parts; the mean squared error per cell."""
        cells = states.shape[0] * self.options.side**2
        rows = states.shape[0] // self.options.accumulate
        losses = []
        for part, target in zip(torch.split(states, rows), torch.split(wanted, rows), strict=True):
            loss = squared_error(self._rollout, part, target, steps, self.options.loss) / cells
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _to_device(self, batch: Pair) -> tuple[Tensor, Tensor]:
        states, wanted = batch
        states = states.to(self.options.device, non_blocking=self.options.pin_memory)
        if wanted is None:
            return states, imitated(states, self.options.horizon(self.iteration))
        return states, wanted.to(self.options.device, non_blocking=self.options.pin_memory)

    def _weights(self) -> dict[str, Tensor]:
        return {name: whole(parameter).clone() for name, parameter in self._law.named_parameters()}


def _plain_groups(optimizer: torch.optim.Optimizer) -> list[dict[str, object]]:
    """The optimiser's settings, with the weights by number as `Optimizer.state_dict` has them."""
    groups, first = [], 0
    for group in optimizer.param_groups:
        numbers = list(range(first, first + len(group["params"])))
        first += len(numbers)
        groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": numbers})
    return groups
