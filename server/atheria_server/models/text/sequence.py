"""One text in the making: its prompt, its tokens, and the frames that its caller takes. Used by `text.generator`.

A frame ends where a piece of text is certain, so the same request has the same frames, however fast they are taken. A slow
reader holds nobody up, not even its own text: frames leave the worker as they are made, and `core.unread_frames` bounds what waits.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import torch
from torch import Tensor

from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.pieces import TextPieces
from atheria_server.models.text.pool import Slot
from atheria_server.models.text.sampling import Sampled, seeded

FinishReason = Literal["stop", "length"]
STOP: Final = "stop"
"""By an end token, a stop token or a stop text."""
LENGTH: Final = "length"
"""By `max_new_tokens`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a text begins with."""

    tokens: tuple[int, ...]
    """At least one."""
    lead: Tensor | None = None
    """Embeddings [positions, width] that stand before the tokens, such as a picture's patches."""
    lead_content: tuple[int, ...] = ()
    """One number for each position of the lead, equal for equal leads and never a token's."""

    @property
    def lead_length(self) -> int:
        """Positions before the tokens."""
        return 0 if self.lead is None else int(self.lead.shape[0])

    @property
    def length(self) -> int:
        """Positions, those of the lead included."""
        return self.lead_length + len(self.tokens)

    @property
    def content(self) -> tuple[int, ...]:
        """One number for each position."""
        return self.lead_content + self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a text took; counts of tokens."""

    prompt_tokens: int
    generated_tokens: int
    reused_tokens: int
    """Of the prompt, that were in the cache from earlier calls."""
    target_calls: int
    """Passes of the network that made the generated tokens."""
    drafted_tokens: int
    accepted_tokens: int
    """Of those that were proposed; each saved a pass."""
    first_token_seconds: float
    """From the arrival in the worker to the first token; 0 without one."""
    steps_to_first_token: int
    """Steps of the running batch from the arrival to the first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFrame:
    """What came since the frame before."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of the tokens, where they were asked for."""
    finish_reason: FinishReason | None = None
    """Of the last frame."""
    usage: Usage | None = None
    """Of the last frame."""


class TextFrames:
    """The frames of one text: an iterator that must only be advanced when `ready`. Closing it ends the text."""

    def __init__(self, sequence: TextSequence, cancel: Callable[[TextSequence], None]) -> None:
        self._sequence = sequence
        self._cancel = cancel

    @property
    def ready(self) -> bool:
        """Whether `next` gives a frame, the end or a failure at once."""
        return self._sequence.has_frame

    def __iter__(self) -> TextFrames:
        return self

    def __next__(self) -> TextFrame:
        return self._sequence.take()

    def close(self) -> None:
        """Nobody waits any more."""
        self._cancel(self._sequence)


@dataclass(slots=True, kw_only=True, eq=False)
class TextSequence:
    """State of one text."""

    sequence_id: int
    prompt: Prompt
    options: GenerationOptions
    end_tokens: frozenset[int]
    pieces: TextPieces
    streaming: bool
    """False = one frame, at the end."""
    cache_bytes: int = 0
    arrived_at: float = field(default_factory=time.monotonic)
    arrived_step: int = 0
    passed: int = 0
    slot: Slot | None = None
    proposed: list[int] = field(default_factory=list)
    """Tokens that may follow the last one, to be checked in the next pass."""
    made: list[int] = field(default_factory=list)
    """All tokens; the last one is not in the cache."""
    reused: int = 0
    target_calls: int = 0
    drafted: int = 0
    accepted: int = 0
    undrafted: bool = False
    """It asked for a draft and was without one in some of its steps."""
    first_token_seconds: float = 0.0
    steps_to_first_token: int = 0
    finished: FinishReason | None = None
    failure: Exception | None = None
    generator: torch.Generator = field(init=False)
    """Of its draws."""
    _open_tokens: list[int] = field(default_factory=list)
    """Of no frame yet."""
    _open_logprobs: list[float] = field(default_factory=list)
    _frames: deque[TextFrame] = field(default_factory=deque)
    _ended: bool = False

    def __post_init__(self) -> None:
        self.generator = seeded(self.options.seed)

    @property
    def capacity(self) -> int:
        """Positions at most; the last token is never fed."""
        return self.prompt.length + self.options.max_new_tokens

    @property
    def prompt_left(self) -> int:
        """Positions of the prompt that are not in the cache."""
        length = self.slot.length if self.slot else 0
        return max(0, self.prompt.length - length)

    @property
    def done(self) -> bool:
        """Nothing more is made."""
        return self.finished is not None or self.failure is not None

    def accept(self, sampled: Sampled, step: int) -> None:
        """One more token; `finished` says whether it was the last."""
        if not self.made:
            self.first_token_seconds = time.monotonic() - self.arrived_at
            self.steps_to_first_token = step - self.arrived_step
        self.made.append(sampled.token)
        self._open_tokens.append(sampled.token)
        if sampled.logprob is not None:
            self._open_logprobs.append(sampled.logprob)
        text = ""
        is_end = sampled.token in self.end_tokens and not self.options.ignore_end
        if is_end or sampled.token in self.options.stop_tokens:
            self.finished = STOP
        else:
            text = self.pieces.add(sampled.token)
            if self.pieces.stopped:
                self.finished = STOP
            elif len(self.made) >= self.options.max_new_tokens:
                self.finished = LENGTH
        if self.finished:
            text += self.pieces.finish()
        if text or self.finished or self.pieces.silent:
            self._close_frame(text)

    def _close_frame(self, text: str) -> None:
        frame = TextFrame(text=text, tokens=tuple(self._open_tokens), logprobs=tuple(self._open_logprobs))
        self._frames.append(frame)
        self._open_tokens.clear()
        self._open_logprobs.clear()

    def fed(self) -> list[int]:
        """Tokens of the next pass: the last one, and those that were proposed behind it."""
        return [self.made[-1], *self.proposed]

    def content(self) -> Sequence[int]:
        """One number for each position in the cache."""
        length = self.slot.length if self.slot else 0
        return (*self.prompt.content, *self.made)[:length]

    @property
    def has_frame(self) -> bool:
        """Whether `take` has something to give."""
        return self.done or (self.streaming and bool(self._frames))

    def take(self) -> TextFrame:
        """The next frame. Raises StopIteration behind the last one, and the failure in its place."""
        if self.failure is not None:
            raise self.failure
        if self._ended:
            raise StopIteration
        if self.streaming:
            frame = self._frames.popleft()
        else:
            frame = _joined(self._frames)
            self._frames.clear()
        self._ended = self.done and not self._frames
        if not self._ended:
            return frame
        return replace(frame, finish_reason=self.finished, usage=self.usage())

    def usage(self) -> Usage:
        """So far."""
        return Usage(
            prompt_tokens=self.prompt.length,
            generated_tokens=len(self.made),
            reused_tokens=self.reused,
            target_calls=self.target_calls,
            drafted_tokens=self.drafted,
            accepted_tokens=self.accepted,
            first_token_seconds=self.first_token_seconds,
            steps_to_first_token=self.steps_to_first_token,
        )


def _joined(frames: Collection[TextFrame]) -> TextFrame:
    """All as one."""
    return TextFrame(
        text="".join(frame.text for frame in frames),
        tokens=tuple(token for frame in frames for token in frame.tokens),
        logprobs=tuple(logprob for frame in frames for logprob in frame.logprobs),
    )
