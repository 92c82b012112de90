"""Where a text model comes from, as `text.api` sees it: what the front knows of it, and how the worker loads it.

Implemented by `text.sceneline_origin` and `text.hugging_face_origin`; neither imports torch before `load`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from atheria_server.models.contract import Array, Arrays, Parameters, Scalar, TensorSpec, WarmupCall

if TYPE_CHECKING:
    from torch import Tensor, nn

    from atheria_server.models.text.cache.golden import Beginning
    from atheria_server.models.text.causal import CausalModel
    from atheria_server.models.text.chat import Chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """What stands before the words of one call, such as a picture."""

    inputs: Mapping[str, Array] = field(default_factory=dict)
    """For the worker; first dimension 1."""
    length: int = 0
    """Positions that it takes."""


class Loaded(Protocol):
    """In the worker."""

    @property
    def network(self) -> CausalModel:
        """On its device."""

    @property
    def draft(self) -> CausalModel | None:
        """A smaller network with the same tokens, if there is one."""

    def modules(self) -> Mapping[str, nn.Module]:
        """As in Optimizable."""

    def lead(self, inputs: Arrays) -> tuple[Tensor, tuple[int, ...]] | None:
        """Embeddings [positions, width] of what stands before the words, and a number below 0 for each; None = nothing."""

    def beginnings(self, count: int, tokens: int) -> Sequence[Beginning]:
        """Always the same `count` beginnings of texts, of about `tokens` positions: on them a compressed cache is measured."""

    def outcome(self, inputs: Arrays, parameters: Parameters, tokens: Sequence[int]) -> dict[str, Array]:
        """Outputs beside the text, of prompt and text as `tokens`; with the last frame."""


class Origin(Protocol):
    """In the front and in the worker."""

    @property
    def context_length(self) -> int:
        """Of the network."""

    @property
    def vocabulary_size(self) -> int:
        """Tokens are 0 up to this."""

    @property
    def has_text(self) -> bool:
        """False = tokens only: there is no tokenizer."""

    @property
    def has_draft(self) -> bool:
        """Whether `Loaded.draft` will be one."""

    @property
    def beginning(self) -> tuple[int, ...]:
        """Tokens of a call without text; () = a call needs one."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """Beside text and tokens."""

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """Beside text, tokens and logprobs."""

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """Parameters of a call beside those of `text.options`, with their defaults."""

    @property
    def chat(self) -> Chat | None:
        """What makes a prompt of messages; None = the model has no chat template."""

    @property
    def no_chat_reason(self) -> str:
        """Why `chat` is None; empty where nobody would expect one."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Tokens of a prompt. Raises InvalidRequestError."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, without those that mark begin and end."""

    def check(self, inputs: Arrays) -> Lead:
        """What stands before the words. Raises InvalidRequestError."""

    def warmup_call(self, parameters: Mapping[str, Scalar]) -> WarmupCall:
        """A short call."""

    def load(self, device: str) -> Loaded:
        """Worker: the network with its weights."""

    def optimizable(self) -> Mapping[str, Any]:
        """Methods of Optimizable that only this origin knows, by name."""
