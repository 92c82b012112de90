"""A causal language model of the transformers library as a `CausalModel`: its layers, our cache. Worker only.

The library calls `update` of the cache that it is given once per layer; `_StepLayers` hands that on to the step's cache. Masks
and positions are ours, so rows of different lengths share a pass. Nothing is fetched and no code of the model's folder runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from atheria_server.core.cache_precision import CacheSettings
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.causal import CacheShape, StepCache
from atheria_server.models.text.hugging_face_head import LogitRule, closest_rule
from atheria_server.models.text.hugging_face_origin import usable_context
from atheria_server.models.text.passes import OnePass, Row, compute_pass
from atheria_server.sources.errors import UnusableSourceError

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
from transformers import AutoModelForCausalLM, Cache, GenerationConfig
from transformers.cache_utils import DynamicLayer

DTYPES: Final = {
    "auto": "auto",
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
PROOF_TOKENS: Final = 6
PROOF_PASSES: Final = ((2, 1), (2, 2), (1, 1), (1, 0))
"""New tokens of two texts in each pass through a cache: chunks of prompts, rows of different lengths, one token alone."""
PROOF_WINDOW: Final = 3
NAMED_WEIGHTS: Final = 5
TORCHS: Final = "sdpa"
OWN: Final = "eager"
"""The library's words for attention by torch's kernels, and by a model's own code."""
_COMMON_ATTENTION: Final = "_supports_attention_backend"
"""The library's mark of models that take masks and keys as they are given."""
FULL: Final = "full_attention"
SLIDING: Final = "sliding_attention"
_WINDOW: Final = "sliding_window"
_LOG = logging.getLogger("atheria.text")
PROOF_TOLERANCE: Final = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
"""Of logits, relative to their largest: what rounding explains and a missing scale does not."""


class HuggingFaceNetwork:
    """See `CausalModel`."""

    def __init__(self, model: Any, *, has_own_attention: bool = False) -> None:
        """`model` in evaluation mode; `has_own_attention` as in `CausalModel`.

        Raises UnusableSourceError for one that computes in a way that this does not know.
        """
        self.model = model
        self._body = model.base_model
        self._embeddings = model.get_input_embeddings()
        config = model.config.get_text_config(decoder=True)
        self._head = model.get_output_embeddings()
        self._rule = LogitRule()
        """Found by `prove`."""
        self._config = config
        self.has_own_attention = has_own_attention
        self._has_kinds = _check_attention(config)
        """Of layers: those that attend to a window only get a mask of their own."""
        self._window = _window(config)
        heads = int(config.num_attention_heads)
        self.cache_shape = CacheShape(
            layers=int(config.num_hidden_layers),
            kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
            head_size=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
            dtype=model.dtype,
            window=None if FULL in (getattr(config, "layer_types", None) or ()) else self._window,
        )
        self.width = int(config.hidden_size)
        self.vocabulary_size = int(config.vocab_size)
        self.context_length = usable_context(config.to_dict())
        self.end_tokens = _end_tokens(model)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Of the words alone: positions enter in `forward`."""
        del positions
        embedded: Tensor = self._embeddings(tokens)
        return embedded

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        """As in `CausalModel`."""
        rows, new, _ = embeddings.shape
        layers = _StepLayers(cache, self.cache_shape.layers, getattr(cache, "longest", new))
        if mask is None and new == 1:
            # Without a mask the library would make one from lengths that it does not know here.
            mask = torch.ones(rows, 1, 1, layers.longest, dtype=torch.bool, device=embeddings.device)
        hidden: Tensor = self._body(
            inputs_embeds=embeddings,
            attention_mask=self._masks(mask),
            position_ids=positions,
            past_key_values=layers,
            use_cache=True,
        ).last_hidden_state
        return hidden

    def _masks(self, mask: Tensor | None) -> Tensor | dict[str, Tensor] | None:
        """As the library's layers want them; None = a first pass, for which the library makes its own."""
        if mask is None:
            return None
        if self._window is None:
            return self._as_taken(mask)
        near = self._as_taken(within_window(mask, self._window))
        return {FULL: self._as_taken(mask), SLIDING: near} if self._has_kinds else near

    def _as_taken(self, mask: Tensor) -> Tensor:
        """An attention of the model's own adds the mask to its scores."""
        if not self.has_own_attention:
            return mask
        dtype = self.cache_shape.dtype
        added = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        return added.masked_fill_(~mask, torch.finfo(dtype).min)

    def logits(self, hidden: Tensor) -> Tensor:
        """As in `CausalModel`."""
        return self._rule(self._head(hidden))

    def modules(self) -> dict[str, nn.Module]:
        """The network, for precision and counting."""
        return {"network": self.model}

    @torch.inference_mode()
    def prove(self) -> None:
        """Raises UnusableSourceError unless what is served is what the whole model computes: in one pass, and through a cache.

        A model with a window is proved with one that is shorter than the proof's texts. One whose architecture does not read the
        key, whatever the configuration says of it, attends to all.
        """
        if self._window is not None and not self._is_window_read():
            self._window = None
            self.cache_shape = replace(self.cache_shape, window=None)
        if self._window is None:
            self._prove()
            return
        window, own = self._window, self._config.sliding_window
        try:
            self._window = self._config.sliding_window = PROOF_WINDOW
            self._prove()
        finally:
            self._window, self._config.sliding_window = window, own

    def _is_window_read(self) -> bool:
        """Whether the whole model computes otherwise with a window that is shorter than its texts. Exact: bf16 rounds coarsely."""
        own = self._config.sliding_window
        found = []
        try:
            for window in (PROOF_TOKENS, PROOF_WINDOW):
                self._config.sliding_window = window
                found.append(self.model(self._drawn()).logits)
        finally:
            self._config.sliding_window = own
        return not torch.equal(*found)

    def _drawn(self) -> Tensor:
        """Two texts of PROOF_TOKENS."""
        drawn = torch.arange(1, 1 + 2 * PROOF_TOKENS, device=self.model.device).view(2, PROOF_TOKENS)
        return drawn % self.vocabulary_size

    def _prove(self) -> None:
        tokens = self._drawn()
        whole = self.model(tokens).logits.float()
        positions = torch.arange(PROOF_TOKENS, device=self.model.device).expand(2, -1)
        try:
            hidden = self.forward(self.embed(tokens, positions), positions, None, OnePass())
            self._rule = closest_rule(self._config, self._head(hidden), whole)
            self._compare(self.logits(hidden), whole)
            self._prove_with_cache(tokens, whole)
        except UnusableSourceError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise UnusableSourceError(
                f"{type(self.model).__name__} does not compute with a cache of the runtime text: {error}; serve it by runtime custom"
            ) from error

    def _prove_with_cache(self, tokens: Tensor, whole: Tensor) -> None:
        """Two texts in PROOF_PASSES; `tokens` [2, PROOF_TOKENS], `whole` their logits."""
        group = CacheSettings().group_tokens
        budget = 2 * group * self.cache_shape.bytes_per_token
        device = str(self.model.device)
        pool = CachePool(self.cache_shape, budget, context_length=group, prefix_bytes=0, device=device)
        slots = [pool.open(PROOF_TOKENS) for _ in tokens]
        for counts in PROOF_PASSES:
            rows, expected = [], []
            for index, new in enumerate(counts):
                start = slots[index].length
                if new:
                    fed = tokens[index, start : start + new].tolist()
                    rows.append(Row(slot=slots[index], tokens=fed, wanted=new))
                    expected.append(whole[index, start : start + new])
            found = compute_pass(self, pool, rows, max(counts), device)
            if found is not None:
                self._compare(found, torch.cat(expected))

    def _compare(self, found: Tensor, expected: Tensor) -> None:
        difference = float((found - expected).abs().max())
        largest = float(expected.abs().max())
        if not difference <= PROOF_TOLERANCE.get(self.model.dtype, 0.5) * max(largest, 1e-6):
            raise UnusableSourceError(
                f"{type(self.model).__name__} does something to its logits or its cache that the runtime text does not know: they "
                f"differ by {difference:g} of {largest:g}; serve it by runtime custom"
            )


class _StepLayer(DynamicLayer):  # type: ignore[misc]
    """One layer of the library's cache."""

    def __init__(self, cache: StepCache, index: int, longest: int) -> None:
        super().__init__()
        self._cache, self._index, self._longest = cache, index, longest

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by the library's attention."""
        return self._cache.update(self._index, key_states, value_states)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys."""
        del query_length
        return self._longest, 0

    def get_seq_length(self) -> int:
        """Nobody needs it where masks and positions are given."""
        return 0


class _StepLayers(Cache):  # type: ignore[misc]
    """The library's cache of one pass."""

    def __init__(self, cache: StepCache, layers: int, longest: int) -> None:
        super().__init__(layers=[_StepLayer(cache, index, longest) for index in range(layers)])
        self.longest = longest


def load_network(folder: Path, *, dtype: str, device: str) -> HuggingFaceNetwork:
    """The model of a folder with config.json and safetensors. Raises UnusableSourceError."""
    try:
        model, loading, has_own_attention = _load(folder, dtype)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UnusableSourceError(f"{folder.name} is no causal language model: {error}") from error
    _check_weights(folder, loading)
    try:
        network = HuggingFaceNetwork(
            model.to(device).eval().requires_grad_(False), has_own_attention=has_own_attention
        )
    except AttributeError as error:
        raise UnusableSourceError(
            f"{type(model).__name__} has no heads and layers that the runtime text knows: {error}; serve it by runtime custom"
        ) from error
    network.prove()
    if has_own_attention:
        _LOG.info("event=text_attention kernel=none because=%s computes its own", type(model).__name__)
    return network


def _load(folder: Path, dtype: str) -> tuple[Any, Mapping[str, Any], bool]:
    """The model, what the library says of its weights, and whether its attention is its own: by torch's kernels, or by the model's own
    code where those do not know what it does to its scores (Gemma 2 bends them, gpt-oss has a place beside them).

    Only for models of the library's common interface: older ones mask by themselves, GPT-Neo by the longest row of a pass.
    """

    def load(attention: str) -> tuple[Any, Mapping[str, Any], bool]:
        model, loading = AutoModelForCausalLM.from_pretrained(  # nosec B615 - a folder that is here
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=DTYPES[dtype],
            attn_implementation=attention,
            output_loading_info=True,
        )
        return model, loading, attention == OWN

    try:
        return load(TORCHS)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        found = load(OWN)
        if not getattr(found[0], _COMMON_ATTENTION, False):
            raise
        return found


def _check_weights(folder: Path, loading: Mapping[str, Any]) -> None:
    """Raises UnusableSourceError for weights that the files do not have: the library draws them at random. Tied ones are none."""
    wrong = sorted(loading["missing_keys"]) + sorted(str(key) for key in loading["mismatched_keys"])
    if wrong:
        more = f" and {len(wrong) - NAMED_WEIGHTS} more" if len(wrong) > NAMED_WEIGHTS else ""
        raise UnusableSourceError(
            f"{folder.name} lacks weights of its network: {', '.join(wrong[:NAMED_WEIGHTS])}{more}; expected safetensors with all of "
            "them, in the shapes of config.json: save the whole model again"
        )


def _end_tokens(model: Any) -> frozenset[int]:
    config: GenerationConfig = model.generation_config
    ends = config.eos_token_id if config.eos_token_id is not None else model.config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset(ends if isinstance(ends, list) else [ends])


def _check_attention(config: Any) -> bool:
    """Whether the layers are of kinds, one of which attends to a window. Raises UnusableSourceError for kinds that are not known."""
    kinds = set(getattr(config, "layer_types", None) or [FULL])
    if not kinds <= {FULL, SLIDING}:
        raise UnusableSourceError(
            f"{config.model_type} has layers of {', '.join(sorted(kinds))}; the runtime text knows {FULL} and {SLIDING} only: "
            "serve it by runtime custom"
        )
    return SLIDING in kinds


def _window(config: Any) -> int | None:
    """Tokens that some or all layers attend to, the new one included; None = to all of the context."""
    window = getattr(config, _WINDOW, None)
    if not window or window >= usable_context(config.to_dict()):
        return None
    kinds = getattr(config, "layer_types", None)
    return None if kinds and SLIDING not in kinds else int(window)


def within_window(mask: Tensor, window: int) -> Tensor:
    """Of a causal mask bool [rows, 1, new, longest], whose tokens attend to a beginning of the keys: the last `window` of each."""
    reach = mask.sum(-1, keepdim=True)
    return mask & (torch.arange(mask.shape[-1], device=mask.device) >= reach - window)
