"""`TextApi`: the runtime `text` behind LitServe's contract, as a continuous model (`models.contract`).

Built in the front process, which must not import torch: only `setup` and what runs after it in the worker does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import litserve
import numpy as np

from atheria_server.models.contract import (
    Array,
    Arrays,
    Batch,
    Frame,
    InvalidRequestError,
    ModelMetadata,
    Parameters,
    Scalar,
    TensorSpec,
    ValidCall,
    WarmupCall,
)
from atheria_server.models.text.chat import ARGUMENTS_CHARACTERS_MAX, CHAT_ARGUMENTS, INPUT_MESSAGES
from atheria_server.models.text.options import GenerationOptions, as_parameters, read_options
from atheria_server.models.text.origin import Origin
from atheria_server.models.text.settings import TextSettings, TextSettingsError

if TYPE_CHECKING:
    from torch import nn

    from atheria_server.models.text.generator import Generator
    from atheria_server.models.text.origin import Loaded
    from atheria_server.models.text.sequence import TextFrame, TextFrames

INPUT_TEXT: Final = "text_input"
INPUT_TOKENS: Final = "tokens"
OUTPUT_TEXT: Final = "text_output"
OUTPUT_TOKENS: Final = "tokens"
OUTPUT_LOGPROBS: Final = "logprobs"
_STREAM: Final = "stream"
_NO_DRAFT: Final = (
    "parameter speculation is 'draft', and the model has no draft; allowed: off, ngram (a model's folder may have a smaller one: "
    "its parameter draft)"
)
WARMUP_TOKENS: Final = 4
CHARACTERS_PER_TOKEN: Final = 16
"""A longer text than this for each token of the context is refused before it is read, which takes time."""

UTF8_BYTES_MAX: Final = 4
"""Of a character."""
SLOW_TEXT_BYTES: Final = 4096
"""From here on a tokenizer takes milliseconds: about 4 for 10,000 on one processor, 570 for 640,000."""


class TextApi(litserve.LitAPI):  # type: ignore[misc]
    """Serves one causal network; a call is one text."""

    def __init__(self, origin: Origin, settings: TextSettings) -> None:
        """Raises TextSettingsError for a context that the network does not have."""
        super().__init__()
        if settings.context_length > origin.context_length:
            raise TextSettingsError(
                f"parameter context_length is {settings.context_length}; allowed: 1 to {origin.context_length}, "
                "the network's own, or 0 for all of it"
            )
        if settings.defaults.speculation == "draft" and not origin.has_draft:
            raise TextSettingsError(_NO_DRAFT)
        self.origin = origin
        self.settings = settings
        self.context_length = settings.context_length or origin.context_length
        self.places = settings.places
        self.unread_bytes = settings.unread_bytes
        self.workers_on_device = 1
        for name, method in origin.optimizable().items():
            setattr(self, name, method)
        self._text_device = "cpu"
        self._loaded: Loaded | None = None
        self._generator: Generator | None = None
        self._has_other_weights = False
        """Than those that the generator was made for."""

    def metadata(self) -> ModelMetadata:
        """Text or tokens in, text and tokens out, and what the origin adds."""
        text = TensorSpec(name=INPUT_TEXT, datatype="BYTES", shape=(-1,), optional=True)
        return ModelMetadata(
            inputs=(
                *([text] if self.origin.has_text else []),
                TensorSpec(name=INPUT_TOKENS, datatype="INT64", shape=(-1, -1), optional=True),
                *([replace(text, name=INPUT_MESSAGES)] if self.origin.chat else []),
                *self.origin.inputs,
            ),
            outputs=(
                *([replace(text, name=OUTPUT_TEXT, optional=False)] if self.origin.has_text else []),
                TensorSpec(name=OUTPUT_TOKENS, datatype="INT64", shape=(-1, -1)),
                TensorSpec(name=OUTPUT_LOGPROBS, datatype="FP32", shape=(-1, -1), optional=True),
                *self.origin.outputs,
            ),
            absent={INPUT_MESSAGES: reason} if (reason := self.origin.no_chat_reason) else {},
        )

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Check one call and turn its text into tokens. Raises InvalidRequestError."""
        more = {name: parameters.get(name, value) for name, value in self.origin.parameters.items()}
        for name, default in self.origin.parameters.items():
            if type(more[name]) is not type(default):
                raise InvalidRequestError(f"parameter {name} is {more[name]!r}; expected {_kind(default)}")
        own = {name: value for name, value in parameters.items() if name not in more}
        options = read_options(own, self.settings.defaults)
        if options.stop and not self.origin.has_text:
            raise InvalidRequestError(
                "parameter stop is given, and the model has no text, only tokens: use stop_tokens"
            )
        if options.speculation == "draft" and not self.origin.has_draft:
            raise InvalidRequestError(_NO_DRAFT)
        lead = self.origin.check(inputs)
        tokens = self._tokens(inputs, more)
        left = self.context_length - lead.length - len(tokens)
        if left < 1 or ("max_new_tokens" in own and options.max_new_tokens > left):
            raise InvalidRequestError(
                f"the prompt takes {lead.length + len(tokens)} positions and max_new_tokens is {options.max_new_tokens}; "
                f"together at most {self.context_length} are allowed: shorten the prompt or ask for fewer tokens"
            )
        options = replace(options, max_new_tokens=min(options.max_new_tokens, left))
        return ValidCall(
            inputs={INPUT_TOKENS: np.array([tokens], np.int64), **lead.inputs},
            parameters={**as_parameters(options), **more, _STREAM: streaming},
        )

    def checks_slowly(self, inputs: Arrays, parameters: Parameters) -> bool:
        """See `contract.SlowlyChecked`: where a long text is turned into tokens, or makes a template write. Not where `validate`
        refuses it by its length alone."""
        array = inputs.get(INPUT_TEXT, inputs.get(INPUT_MESSAGES))
        given = array.reshape(-1)[0] if array is not None and array.size == 1 else b""
        if not isinstance(given, bytes | str) or len(given) > (
            UTF8_BYTES_MAX * CHARACTERS_PER_TOKEN * self.context_length
        ):
            return False
        more = parameters.get(CHAT_ARGUMENTS, "") if INPUT_MESSAGES in inputs else ""
        more_length = len(more) if isinstance(more, str) else 0
        return more_length <= ARGUMENTS_CHARACTERS_MAX and len(given) + more_length > SLOW_TEXT_BYTES

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """One short call. Raises InvalidRequestError for shapes and rows: a call is one text of any length."""
        if shapes:
            raise InvalidRequestError(
                f"warm-up shapes are {[list(shape) for shape in shapes]}; the runtime text has none: leave them out"
            )
        del rows
        return [self.origin.warmup_call({"max_new_tokens": WARMUP_TOKENS, "ignore_end": True})]

    def setup(self, device: str) -> None:
        """Worker: load the network, and take the cache's memory as it is needed. Raises TextSettingsError."""
        from atheria_server.models.text.start import loaded_network

        self._loaded = loaded_network(self.origin, self.settings, device)
        self._text_device = device
        self._start()

    def _start(self) -> None:
        """With an empty running batch."""
        from atheria_server.models.text.start import new_generator

        self._generator = None  # its memory first
        self._has_other_weights = False
        self._generator = new_generator(
            self._network(),
            self.settings,
            context_length=self.context_length,
            decode=self.origin.decode if self.origin.has_text else None,
            device=self._text_device,
            workers=self.workers_on_device,
        )

    def weights_changed(self) -> None:
        """Worker, called by `optimize.variant`: keys and values of the weights before say nothing about these, and what a
        compressed cache changes is measured anew. With the next call, which must not come while texts are made."""
        self._has_other_weights = True

    @property
    def has_work(self) -> bool:
        """Whether a text is being made or waits for room."""
        return self._generator is not None and self._generator.has_work

    def step(self) -> None:
        """Worker: one token for each text, and part of the prompts."""
        self._ready().step()

    def report(self) -> Mapping[str, Any]:
        """Worker: see `text.counts`."""
        return self._ready().report()

    def check_device(self) -> None:
        """Worker, asked by `optimize.pipeline` once the weights are what is served. Raises ModelRefusedError for what is asked of a
        device that cannot do it."""
        from atheria_server.models.text.start import check_attention

        check_attention(self._network().network, self.settings, self._text_device)

    def cache_report(self) -> Mapping[str, Any]:
        """Worker, asked by `optimize.pipeline`: what the error budget made of the cache, with the weights that there are now."""
        if self._has_other_weights:
            self._start()
        told = self._ready().cache_report
        return told.to_json() if told else {}

    def stream_frames(self, batch: Batch) -> TextApiFrames:
        """Worker: the text enters the running batch with the next step."""
        from atheria_server.models.text.sequence import Prompt

        parameters = {name: value for name, value in batch.parameters.items() if name != _STREAM}
        more = {name: parameters.pop(name) for name in self.origin.parameters}
        tokens = tuple(int(token) for token in batch.inputs[INPUT_TOKENS][0])
        inputs = {name: np.array(array) for name, array in batch.inputs.items()}
        loaded = self._network()
        if self._has_other_weights or self._ready().cache_shape != loaded.network.cache_shape:
            self._start()
        lead = loaded.lead(inputs)
        prompt = (
            Prompt(tokens=tokens)
            if lead is None
            else Prompt(tokens=tokens, lead=lead[0], lead_content=lead[1])
        )
        options: GenerationOptions = read_options(parameters)
        frames = self._ready().add(prompt, options, streaming=bool(batch.parameters[_STREAM]))

        def outcome(made: Sequence[int]) -> dict[str, Array]:
            return loaded.outcome(inputs, more, (*tokens, *made))

        return TextApiFrames(frames, outcome, has_text=self.origin.has_text)

    def predict(self, batch: Batch) -> Arrays:
        """Worker: one whole text, for the warm-up and the commands; served calls come by `stream_frames`.

        All of its prompt is computed: whoever observes the layers or takes the time sees it, and weights may be under change.
        """
        self._ready().forget_prefixes()
        parameters = {**batch.parameters, _STREAM: False}
        frames = self.stream_frames(replace(batch, parameters=parameters))
        while not frames.ready:
            self.step()
        outputs = next(frames).outputs
        self.report()  # nobody asked for this text: it is not counted
        return outputs

    def modules(self) -> Mapping[str, nn.Module]:
        """The network."""
        return self._network().modules()

    def compile_with(self, compiler: Any) -> None:
        """Raises TextSettingsError: lengths change with every step, so there are no fixed shapes to compile for."""
        del compiler
        raise TextSettingsError("the runtime text computes uncompiled; set compile.mode to off")

    def _tokens(self, inputs: Arrays, parameters: Parameters) -> tuple[int, ...]:
        """Of the one input that has the words."""
        given = [name for name in (INPUT_TEXT, INPUT_TOKENS, INPUT_MESSAGES) if name in inputs]
        if len(given) > 1 or (not given and not self.origin.beginning):
            wanted = [*([INPUT_TEXT] if self.origin.has_text else []), INPUT_TOKENS]
            wanted += [INPUT_MESSAGES] if self.origin.chat else []
            raise InvalidRequestError(
                f"inputs are {sorted(inputs)}; expected exactly one of {' or '.join(wanted)}"
            )
        if not given:
            return self.origin.beginning
        array, characters_max = inputs[given[0]], CHARACTERS_PER_TOKEN * self.context_length
        if given[0] == INPUT_MESSAGES:
            if self.origin.chat is None:
                raise InvalidRequestError(self.origin.no_chat_reason)
            messages = _text(INPUT_MESSAGES, array)
            return self.origin.chat.tokens(messages, str(parameters[CHAT_ARGUMENTS]), characters_max)
        if given[0] == INPUT_TEXT:
            text = _text(INPUT_TEXT, array)
            if len(text) > characters_max:
                raise InvalidRequestError(
                    f"input {INPUT_TEXT} has {len(text)} characters; a context of {self.context_length} tokens holds fewer"
                )
            return self.origin.encode(text)
        if array.ndim != 2 or array.shape[0] != 1 or array.shape[1] < 1:
            raise InvalidRequestError(
                f"input {INPUT_TOKENS} has shape {list(array.shape)}; expected [1, N], N >= 1"
            )
        if array.shape[1] >= self.context_length:
            raise InvalidRequestError(
                f"the prompt takes {array.shape[1]} positions; with its text at most {self.context_length} are allowed: shorten it"
            )
        wrong = array[(array < 0) | (array >= self.origin.vocabulary_size)]
        if len(wrong):
            raise InvalidRequestError(
                f"input {INPUT_TOKENS} has the token {wrong[0]}; allowed: 0 to {self.origin.vocabulary_size - 1}"
            )
        return tuple(array[0].tolist())

    @property
    def loaded(self) -> Loaded:
        """Worker, after `setup`: the network, for the commands that compare settings."""
        return self._network()

    def _network(self) -> Loaded:
        if self._loaded is None:
            raise RuntimeError("setup was not called; call it first")
        return self._loaded

    def _ready(self) -> Generator:
        if self._generator is None:
            raise RuntimeError("setup was not called; call it first")
        return self._generator


class TextApiFrames:
    """`TextFrames` as the protocol's tensors and parameters; see ReadyFrames."""

    def __init__(self, frames: TextFrames, outcome: Any, *, has_text: bool) -> None:
        """`outcome` = outputs beside the text, of all its tokens."""
        self._frames = frames
        self._outcome = outcome
        self._has_text = has_text
        self._made: list[int] = []

    @property
    def ready(self) -> bool:
        """See ReadyFrames."""
        return self._frames.ready

    def __iter__(self) -> TextApiFrames:
        return self

    def __next__(self) -> Frame:
        frame = next(self._frames)
        self._made += frame.tokens
        outputs: dict[str, Array] = {}
        if self._has_text:
            outputs[OUTPUT_TEXT] = np.array([frame.text.encode()], object)
        outputs[OUTPUT_TOKENS] = np.array([frame.tokens], np.int64).reshape(1, -1)
        if frame.logprobs:
            outputs[OUTPUT_LOGPROBS] = np.array([frame.logprobs], np.float32)
        if frame.finish_reason is not None:
            outputs |= self._outcome(self._made)
        return Frame(outputs=outputs, parameters=_parameters(frame))

    def close(self) -> None:
        """See ReadyFrames."""
        self._frames.close()


def _parameters(frame: TextFrame) -> dict[str, Scalar]:
    """Of the last frame: why the text ended, and what it took."""
    if frame.finish_reason is None or frame.usage is None:
        return {}
    return {"finish_reason": frame.finish_reason, **asdict(frame.usage)}


def _text(name: str, array: Array) -> str:
    if array.shape not in ((1,), (1, 1)):
        raise InvalidRequestError(
            f"input {name} has shape {list(array.shape)}; expected [1]: send each text as a call of its own, "
            "those that run at a time share every step"
        )
    value = array.reshape(-1)[0]
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"input {name} is not UTF-8: {error}") from error


def _kind(default: Scalar) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[type(default)]
