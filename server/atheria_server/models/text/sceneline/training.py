"""Training: captions by cross-entropy, grounding by whether each word's patches are told from the others.

A third term asks each patch what shape it belongs to. It is not served, but shapes are learnt from it faster than from the
few words that name them. Scenes are made as they are needed, each once, so nothing can be learnt by heart. Called by `train`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes
from atheria_server.models.text.sceneline.vocabulary import FIRST_SHAPE, PAD, SHAPES
from atheria_server.models.text.sceneline.weights import draw_network

SCENE_SIZES: Final = (
    (64, 64),
    (64, 64),
    (64, 64),
    (64, 96),
    (96, 64),
    (48, 64),
    (64, 48),
    (80, 80),
)
"""Height and width in pixels; one of them for each iteration's scenes."""
GRADIENT_NORM_MAX: Final = 1.0
NO_SHAPE: Final = -1
SHAPE_WEIGHT: Final = 0.5
"""Of the third term."""
PATCH_WEIGHT: Final = 3.0
"""Of a patch that a word points at, against one that it does not: there are few of the former."""


class TrainingOptionsError(ValueError):
    """The training cannot be done as asked; the message names the option, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """One training; the defaults are those that made the shipped weights."""

    seed: int = 0
    """Of the first weights, the scenes and their order."""
    iterations: int = 3000
    batch: int = 8
    """Scenes an iteration."""
    learning_rate: float = 2e-3
    """Of AdamW, at its highest, after three tenths of the iterations."""

    def __post_init__(self) -> None:
        """Raises TrainingOptionsError."""
        for name, low in (("seed", 0), ("iterations", 2), ("batch", 1)):
            if getattr(self, name) < low:
                raise TrainingOptionsError(
                    f"--{name} is {getattr(self, name)}; expected a whole number from {low}"
                )
        if not 0 < self.learning_rate < 1:
            raise TrainingOptionsError(f"--learning-rate is {self.learning_rate}; expected from 0 to 1")


class Trainer:
    """Equal options give equal weights on one machine with equally many threads."""

    def __init__(self, options: TrainingOptions) -> None:
        """Draws the first weights."""
        self.options = options
        self.iteration = 0
        """Iterations done."""
        self.network = draw_network("small", options.seed)
        torch.manual_seed(options.seed)
        self._sharpness = nn.Parameter(torch.tensor(5.0))
        self._offset = nn.Parameter(torch.tensor(-2.0))
        self._sizes = np.random.default_rng(options.seed).integers(len(SCENE_SIZES), size=options.iterations)
        self._shape_of = nn.Linear(self.network.width, len(SHAPES))
        self._weights = [
            *self.network.parameters(),
            *self._shape_of.parameters(),
            self._sharpness,
            self._offset,
        ]
        self._optimizer = torch.optim.AdamW(self._weights, options.learning_rate)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, options.learning_rate, total_steps=options.iterations
        )

    def advance(self) -> tuple[float, float]:
        """One iteration; the losses of captions and of grounding. Raises IndexError after the last."""
        height, width = SCENE_SIZES[self._sizes[self.iteration]]
        seed = self.options.seed * self.options.iterations + self.iteration
        captions, grounding, shapes = self._losses(make_scenes(seed, self.options.batch, height, width))
        self._optimizer.zero_grad()
        (captions + grounding + SHAPE_WEIGHT * shapes).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._weights, GRADIENT_NORM_MAX)
        self._optimizer.step()
        self._schedule.step()
        self.iteration += 1
        return captions.item(), grounding.item()

    def _losses(self, scenes: Scenes) -> tuple[Tensor, Tensor, Tensor]:
        tokens, true = torch.from_numpy(scenes.tokens), torch.from_numpy(scenes.patches[:, :-1])
        patches, words = self.network.read(torch.from_numpy(scenes.pictures), tokens[:, :-1])
        captions = F.cross_entropy(
            self.network.logits(words).flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=PAD
        )
        names = true.any(-1)
        grounding = F.binary_cross_entropy_with_logits(
            self._sharpness * self.network.similarity(words, patches)[names] + self._offset,
            true[names].float(),
            pos_weight=torch.tensor(PATCH_WEIGHT),
        )
        shapes = F.cross_entropy(
            self._shape_of(patches).flatten(0, 1), shape_of_patches(scenes).flatten(), ignore_index=NO_SHAPE
        )
        return captions, grounding, shapes


def shape_of_patches(scenes: Scenes) -> Tensor:
    """Int64 [scenes, patches]: an index of SHAPES, or NO_SHAPE."""
    found = torch.full((len(scenes.tokens), scenes.patches.shape[2]), NO_SHAPE)
    for token, patches in zip(scenes.tokens.T, scenes.patches.swapaxes(0, 1), strict=True):
        names = torch.from_numpy((token >= FIRST_SHAPE)[:, None] & patches)
        found = torch.where(names, torch.from_numpy(token - FIRST_SHAPE)[:, None], found)
    return found


def trained_network(trainer: Trainer) -> SceneLine:
    """A copy of what was learnt so far, without gradients, in evaluation mode."""
    network = draw_network("small", trainer.options.seed)
    network.load_state_dict(trainer.network.state_dict())
    return network.eval().requires_grad_(requires_grad=False)
