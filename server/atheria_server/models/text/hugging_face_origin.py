"""A folder of the transformers library as an origin of the runtime `text`: what its files say, without torch.

`config.json` and safetensors make the network (`text.hugging_face`, worker only), `tokenizer.json` turns text into tokens.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from atheria_server.models.text.chat import (
    CHAT_ARGUMENTS,
    INPUT_MESSAGES,
    Chat,
    ChatTemplate,
    ChatTemplateError,
    read_templates,
)
from atheria_server.models.text.origin import Lead
from atheria_server.models.text.settings import TextSettingsError, parse_text_settings
from atheria_server.sources.digest import check_digest
from atheria_server.sources.errors import UnusableSourceError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from atheria_server.models.text.cache.golden import Beginning
    from atheria_server.models.text.causal import CausalModel
    from atheria_server.models.text.hugging_face import HuggingFaceNetwork

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
DTYPE: Final = "dtype"
DRAFT: Final = "draft"
DTYPES: Final = ("auto", "fp32", "bf16", "fp16")
_CONTEXT: Final = ("max_position_embeddings", "n_positions", "n_ctx")
_ORIGINAL: Final = "original_max_position_embeddings"
_UNUSABLE_CHAT: Final = "input messages cannot be read: the model's chat template cannot be used: {}"
_LOG = logging.getLogger("atheria.text")


class HuggingFaceApi(TextApi):
    """Serves one folder; parameters: `dtype`, `draft` and those of `text.settings`."""

    def __init__(self, parameters: Mapping[str, Scalar], *, path: Path, digest: str = "") -> None:
        """Raises TextSettingsError and UnusableSourceError."""
        settings = parse_text_settings(parameters, (DTYPE, DRAFT))
        dtype = parameters.get(DTYPE, "auto")
        if dtype not in DTYPES:
            raise TextSettingsError(f"parameter {DTYPE} is {dtype!r}; allowed: {', '.join(DTYPES)}")
        draft = parameters.get(DRAFT, "")
        if not isinstance(draft, str) or (draft and not _is_model_below(path, draft)):
            raise TextSettingsError(
                f"parameter {DRAFT} is {draft!r}; expected a folder below {path.name} that has a {CONFIG}"
            )
        origin = HuggingFaceOrigin(
            path, dtype=str(dtype), digest=digest, draft=path / draft if draft else None
        )
        super().__init__(origin, settings)


class HuggingFaceOrigin:
    """See `text.origin.Origin`."""

    beginning: tuple[int, ...] = ()
    inputs: Sequence[TensorSpec] = ()
    outputs: Sequence[TensorSpec] = ()

    def __init__(
        self, path: Path, *, dtype: str = "auto", digest: str = "", draft: Path | None = None
    ) -> None:
        """Raises UnusableSourceError."""
        config = _read(path / CONFIG)
        config = config.get("text_config", config)
        self.context_length = usable_context(config)
        own = _count(config, *_CONTEXT)
        if self.context_length < own:
            _LOG.info("event=text_context_limited tokens=%d of=%d because=longrope", self.context_length, own)
        self.vocabulary_size = _count(config, "vocab_size")
        self._path, self._dtype, self._digest, self._draft = path, dtype, digest, draft
        self._tokenizer = _tokenizer(path / TOKENIZER)
        self.has_text = self._tokenizer is not None
        self.has_draft = draft is not None
        self.no_chat_reason = ""
        self._templates, self._special_tokens = self._read_templates()
        self.parameters: Mapping[str, Scalar] = {CHAT_ARGUMENTS: "{}"} if self._templates else {}
        """Read by `text.api` with the messages; the worker does without."""

    @cached_property
    def chat(self) -> Chat | None:
        """Front: compiles the template, which a worker has no use for."""
        if not self._templates:
            return None
        try:
            return Chat(ChatTemplate(self._templates, self._special_tokens), self._encode_as_written)
        except ChatTemplateError as error:
            self.no_chat_reason = _UNUSABLE_CHAT.format(error)
            return None

    def _read_templates(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        if not self.has_text:
            self.no_chat_reason = (
                f"input {INPUT_MESSAGES} cannot be read: the model's folder has no {TOKENIZER}"
            )
            return {}, {}
        try:
            templates, tokens = read_templates(self._path)
        except ChatTemplateError as error:
            self.no_chat_reason = _UNUSABLE_CHAT.format(error)
            return {}, {}
        if not templates:
            self.no_chat_reason = (
                f"input {INPUT_MESSAGES} cannot be read: the model's folder has no chat template (chat_template.jinja, or "
                "chat_template in tokenizer_config.json)"
            )
        return templates, tokens

    def encode(self, text: str) -> tuple[int, ...]:
        """As the tokenizer's own templates say, so with the token of the beginning where it has one."""
        if self._tokenizer is None:
            raise InvalidRequestError(
                f"input text_input cannot be read: there is no {TOKENIZER}; send tokens"
            )
        return self._tokens(text, add_special_tokens=True)

    def _encode_as_written(self, text: str) -> tuple[int, ...]:
        return self._tokens(text, add_special_tokens=False)

    def _tokens(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(
                f"the input's text has half of a surrogate pair at character {error.start}; expected both halves, or none"
            ) from error
        # Unlike `encode`, a batch lets other threads go on.
        (encoding,) = self._tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)
        tokens = tuple(encoding.ids)
        if not tokens:
            raise InvalidRequestError("the input's text is no token at all; expected some text")
        if (largest := max(tokens)) >= self.vocabulary_size:
            raise InvalidRequestError(
                f"{TOKENIZER} makes the token {largest}, and the network has {self.vocabulary_size}: they do not belong together"
            )
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Special tokens are no text."""
        return "" if self._tokenizer is None else str(self._tokenizer.decode(list(tokens)))

    def check(self, inputs: Arrays) -> Lead:
        """Nothing stands before the words."""
        del inputs
        return Lead()

    def warmup_call(self, parameters: Mapping[str, Scalar]) -> WarmupCall:
        """Some tokens."""
        tokens = np.arange(min(8, self.vocabulary_size), dtype=np.int64)[None]
        return WarmupCall(inputs={"tokens": tokens}, parameters=parameters)

    def load(self, device: str) -> LoadedHuggingFace:
        """Worker: raises UnusableSourceError."""
        from atheria_server.models.text.hugging_face import load_network

        check_digest(self._path, self._digest)
        network = load_network(self._path, dtype=self._dtype, device=device)
        draft = load_network(self._draft, dtype=self._dtype, device=device) if self._draft else None
        if draft is not None and draft.vocabulary_size != network.vocabulary_size:
            raise UnusableSourceError(
                f"the draft has {draft.vocabulary_size} tokens and the model {network.vocabulary_size}; they must have the same"
            )
        return LoadedHuggingFace(network, draft)

    def optimizable(self) -> Mapping[str, Any]:
        """What reads the words and what writes them stays as it is."""
        return {"critical_layers": lambda: ("*.lm_head", "*.embed_out")}


class LoadedHuggingFace:
    """See `text.origin.Loaded`."""

    def __init__(self, network: HuggingFaceNetwork, draft: HuggingFaceNetwork | None) -> None:
        self._network = network
        self.network: CausalModel = network
        self.draft: CausalModel | None = draft

    def modules(self) -> Mapping[str, nn.Module]:
        """The network."""
        return self._network.modules()

    def lead(self, inputs: Arrays) -> tuple[Tensor, tuple[int, ...]] | None:
        """Nothing."""
        del inputs
        return None

    def beginnings(self, count: int, tokens: int) -> list[Beginning]:
        """Tokens drawn from a seed: nobody knows what texts the network is for."""
        from atheria_server.models.text.cache.golden import Beginning

        drawn = np.random.default_rng(count).integers(0, self.network.vocabulary_size, (count, tokens))
        return [Beginning(tokens=row) for row in drawn.tolist()]

    def outcome(self, inputs: Arrays, parameters: Parameters, tokens: Sequence[int]) -> dict[str, Array]:
        """Nothing beside the text."""
        del inputs, parameters, tokens
        return {}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableSourceError(
            f"{path.name} cannot be read: {error}; the runtime text serves a folder of the transformers library with {CONFIG}, "
            f"safetensors and {TOKENIZER}"
        ) from error
    if not isinstance(found, dict):
        raise UnusableSourceError(f"{path.name} is no object; expected the network's configuration")
    return found


def usable_context(config: Mapping[str, Any]) -> int:
    """Most tokens of a text, of config.json's object or the library's `to_dict`. Raises UnusableSourceError.

    Rotary positions of the kind longrope have other factors behind the original length, which the library chooses by the
    longest row of a pass: keys that are cached, and other rows of the pass, would go with the wrong ones. So only the
    original length is served.
    """
    own = _count(config, *_CONTEXT)
    scaling = config.get("rope_parameters") or config.get("rope_scaling")
    if not isinstance(scaling, dict) or "long_factor" not in scaling:
        return own
    # The library prefers the one beside `rope_parameters` too.
    both = {**scaling, **{name: config[name] for name in (_ORIGINAL,) if config.get(name)}}
    return min(own, _count(both, _ORIGINAL))


def _is_model_below(path: Path, draft: str) -> bool:
    """Whether `draft` is a folder of a model within `path`, links followed."""
    folder = (path / draft).resolve()
    return folder.is_relative_to(path.resolve()) and (folder / CONFIG).is_file()


def _count(config: Mapping[str, Any], *names: str) -> int:
    for name in names:
        if isinstance(value := config.get(name), int) and value > 0:
            return value
    raise UnusableSourceError(f"{CONFIG} has no {' or '.join(names)}; expected a whole number above 0")


def _tokenizer(path: Path) -> Any:
    """None where the folder has none."""
    if not path.is_file():
        return None
    # A call is one text: there is nothing to share between threads, which would not survive a fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        # Of the training's batches: a call's text is read whole, and nothing is put behind it.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    except Exception as error:
        raise UnusableSourceError(f"{path.name} cannot be read: {error}") from error
