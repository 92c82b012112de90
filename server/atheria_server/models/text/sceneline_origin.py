"""`builtin://sceneline` as an origin of the runtime `text`: a picture before the words, and boxes behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import numpy as np

from atheria_server.models.contract import (
    Array,
    Arrays,
    InvalidRequestError,
    Parameters,
    Scalar,
    TensorSpec,
    WarmupCall,
)
from atheria_server.models.text.api import TextApi
from atheria_server.models.text.origin import Lead
from atheria_server.models.text.sceneline import precision, quality, vocabulary
from atheria_server.models.text.sceneline import signature as sig
from atheria_server.models.text.sceneline.density import picture_of_density
from atheria_server.models.text.sceneline.settings import PATCH, SIZES, Preset
from atheria_server.models.text.sceneline.validate import check_size, content_of, parse_pictures, patches_of
from atheria_server.models.text.settings import TextSettingsError, parse_text_settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from atheria_server.models.text.cache.golden import Beginning
    from atheria_server.models.text.sceneline.network import SceneLine

PRESET: Final = "preset"
WEIGHTS: Final = "weights"
WARMUP_SIDE: Final = 64
DENSITY_DIMENSIONS: Final = 3
"""One field, height, width."""
GOLDEN_SEED: Final = 7_000_001


class SceneLineApi(TextApi):
    """Describes pictures of shapes; parameters: `preset`, `weights` (a safetensors file) and those of `text.settings`."""

    def __init__(self, parameters: Mapping[str, Scalar], *, digest: str = "") -> None:
        """Raises TextSettingsError."""
        preset = parameters.get(PRESET, "small")
        if preset not in get_args(Preset):
            raise TextSettingsError(
                f"parameter {PRESET} is {preset!r}; allowed: {', '.join(get_args(Preset))}"
            )
        weights = parameters.get(WEIGHTS, "")
        if not isinstance(weights, str):
            raise TextSettingsError(
                f"parameter {WEIGHTS} is {weights!r}; expected the path of a safetensors file"
            )
        settings = parse_text_settings(parameters, (PRESET, WEIGHTS))
        super().__init__(SceneLineOrigin(cast("Preset", preset), weights=weights, digest=digest), settings)


class SceneLineOrigin:
    """See `text.origin.Origin`."""

    def __init__(self, preset: Preset, *, weights: str = "", digest: str = "") -> None:
        self._preset = preset
        self._sizes = SIZES[preset]
        self._weights = weights
        self._digest = digest

    context_length = property(lambda self: self._sizes.context_length)
    vocabulary_size = len(vocabulary.WORDS)
    has_text = True
    has_draft = False
    chat = None
    no_chat_reason = ""
    beginning = (vocabulary.BEGIN,)
    inputs = (
        TensorSpec(name=sig.INPUT_PICTURE, datatype="UINT8", shape=(-1, -1, -1, 3), optional=True),
        TensorSpec(name=sig.INPUT_DENSITY, datatype="FP32", shape=(-1, -1, -1), optional=True),
    )
    outputs = (
        TensorSpec(name=sig.OUTPUT_BOXES, datatype="INT32", shape=(-1, sig.BOXES_MAX, 4)),
        TensorSpec(name=sig.OUTPUT_BOX_SCORES, datatype="FP32", shape=(-1, sig.BOXES_MAX)),
        TensorSpec(name=sig.OUTPUT_BOX_TOKENS, datatype="INT32", shape=(-1, sig.BOXES_MAX)),
        TensorSpec(name=sig.OUTPUT_GROUNDING, datatype="BYTES", shape=(-1,)),
        TensorSpec(name=sig.OUTPUT_PICTURE, datatype="BYTES", shape=(-1,), optional=True),
    )
    parameters: Mapping[str, Scalar] = {sig.PARAMETER_DRAW: False}
    """Draw the boxes into the picture."""

    def encode(self, text: str) -> tuple[int, ...]:
        """The beginning and the caption's first words. Raises InvalidRequestError."""
        try:
            return (vocabulary.BEGIN, *vocabulary.encode(text))
        except ValueError as error:
            raise InvalidRequestError(f"input text_input: {error}") from error

    def decode(self, tokens: Sequence[int]) -> str:
        """Words with a space before each but the first."""
        return vocabulary.decode(tokens)

    def check(self, inputs: Arrays) -> Lead:
        """The picture. Raises InvalidRequestError."""
        if (sig.INPUT_PICTURE in inputs) == (sig.INPUT_DENSITY in inputs):
            raise InvalidRequestError(
                f"inputs are {sorted(inputs)}; expected exactly one of {sig.INPUT_PICTURE} or {sig.INPUT_DENSITY}"
            )
        given = inputs.get(sig.INPUT_PICTURE)
        if given is None:
            density = inputs[sig.INPUT_DENSITY]
            if density.ndim == DENSITY_DIMENSIONS:
                check_size(sig.INPUT_DENSITY, density.shape[1], density.shape[2], self._sizes)
            given = picture_of_density(density)
        pictures = parse_pictures(given, self._sizes)
        if len(pictures) != 1:
            raise InvalidRequestError(
                f"input {sig.INPUT_PICTURE} has {len(pictures)} pictures; expected one: send each as a call of its own, those that "
                "run at a time share every step"
            )
        return Lead(inputs={sig.INPUT_PICTURE: pictures}, length=patches_of(*pictures.shape[1:3]))

    def warmup_call(self, parameters: Mapping[str, Scalar]) -> WarmupCall:
        """A black picture."""
        side = min(WARMUP_SIDE, 8 * self._sizes.side_patches)
        return WarmupCall(
            inputs={sig.INPUT_PICTURE: np.zeros((1, side, side, 3), np.uint8)}, parameters=parameters
        )

    def load(self, device: str) -> LoadedSceneLine:
        """Worker: the network with its weights."""
        from atheria_server.models.text.sceneline.weights import load_network

        network = load_network(self._preset, weights=self._weights, digest=self._digest)
        return LoadedSceneLine(network.to(device), device)

    def optimizable(self) -> Mapping[str, Any]:
        """Groups of layers for `spec.precision`, and how good what remains is."""
        return {
            "module_groups": lambda: precision.MODULE_GROUPS,
            "golden_calls": lambda _, count: quality.golden_calls(count),
            "compare": quality.compare,
            "critical_layers": lambda: precision.CRITICAL_LAYERS,
        }


class LoadedSceneLine:
    """See `text.origin.Loaded`."""

    draft = None

    def __init__(self, network: SceneLine, device: str) -> None:
        self.network = network
        self._device = device

    def modules(self) -> Mapping[str, nn.Module]:
        """The network."""
        return {"network": self.network}

    def lead(self, inputs: Arrays) -> tuple[Tensor, tuple[int, ...]]:
        """The picture's patches."""
        import torch

        picture = inputs[sig.INPUT_PICTURE]
        with torch.inference_mode():
            embedded = self.network.embed_picture(torch.from_numpy(picture).to(self._device))[0]
        return embedded, content_of(picture[0])

    def beginnings(self, count: int, tokens: int) -> list[Beginning]:
        """New scenes, square; training saw none of them."""
        import torch

        from atheria_server.models.text.cache.golden import Beginning
        from atheria_server.models.text.sceneline.scenes import make_scenes

        patches = min(max(round(tokens**0.5), WARMUP_SIDE // PATCH), self.network.sizes.side_patches)
        pictures = make_scenes(GOLDEN_SEED, count, patches * PATCH, patches * PATCH).pictures
        with torch.inference_mode():
            leads = self.network.embed_picture(torch.from_numpy(pictures).to(self._device))
        return [
            Beginning(tokens=[*[vocabulary.PAD] * len(lead), vocabulary.BEGIN], lead=lead) for lead in leads
        ]

    def outcome(self, inputs: Arrays, parameters: Parameters, tokens: Sequence[int]) -> dict[str, Array]:
        """Where the words are in the picture."""
        from atheria_server.models.text.sceneline.grounding import as_json, as_picture, as_tensors, ground

        pictures = inputs[sig.INPUT_PICTURE]
        (boxes,) = ground(self.network, pictures, [tokens])
        found = dict(as_tensors([boxes]))
        found[sig.OUTPUT_GROUNDING] = np.array([as_json(boxes, tokens).encode()], object)
        if parameters[sig.PARAMETER_DRAW]:
            found[sig.OUTPUT_PICTURE] = np.array([as_picture(pictures[0], boxes)], object)
        return found
