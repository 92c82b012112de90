"""What a caller may ask of one text: read from the request's parameters, in the front and again in the worker. No torch.

`read_options` in the front fills in every default; the worker reads the same mapping back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from atheria_server.models.contract import InvalidRequestError, Scalar

Speculation = Literal["off", "ngram", "draft"]
SPECULATIONS: Final[tuple[Speculation, ...]] = get_args(Speculation)
DEFAULT_NEW_TOKENS: Final = 128
TEMPERATURE_MAX: Final = 100.0
TOP_K_MAX: Final = 1_000_000
SEED_MAX: Final = 2**63 - 1
STOPS_MAX: Final = 16
STOP_CHARACTERS_MAX: Final = 256
LIST_CHARACTERS_MAX: Final = STOPS_MAX * (12 * STOP_CHARACTERS_MAX + 4)
"""Of a JSON list of stop texts, whose characters may all be written as two times \\uXXXX."""
DRAFT_TOKENS_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """Of one text."""

    max_new_tokens: int = DEFAULT_NEW_TOKENS
    """Generated at most; an end token counts."""
    temperature: float = 0.0
    """0 = greedy: always the likeliest token."""
    top_k: int = 0
    """Draw among so many of the likeliest tokens; 0 = all."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that together have this probability."""
    seed: int = 0
    """Of the draws. The same request with the same seed has the same text, whoever else is served at the time."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these."""
    stop_tokens: tuple[int, ...] = ()
    """The text ends with the first of these tokens, as with the model's own end tokens."""
    ignore_end: bool = False
    """Go on behind the model's own end tokens, to `max_new_tokens`."""
    logprobs: bool = False
    """Give the natural logarithm of each token's probability, before temperature and the like."""
    speculation: Speculation = "off"
    """Propose several tokens at once and keep those that the model would have made: the same text in fewer steps."""
    draft_tokens: int = 4
    """Proposed at once at most."""


_NAMES: Final = tuple(GenerationOptions.__dataclass_fields__)
_DEFAULTS: Final = GenerationOptions()


def read_options(
    parameters: Mapping[str, Scalar], defaults: GenerationOptions = _DEFAULTS
) -> GenerationOptions:
    """The options in a request's parameters. Raises InvalidRequestError with parameter, value and what is allowed."""
    if unknown := sorted(set(parameters) - set(_NAMES)):
        raise InvalidRequestError(f"unknown parameter {unknown[0]!r}; allowed: {', '.join(sorted(_NAMES))}")
    given = {name: parameters[name] if name in parameters else getattr(defaults, name) for name in _NAMES}
    options = GenerationOptions(
        max_new_tokens=_whole(given, "max_new_tokens", 1, 2**31),
        temperature=_number(given, "temperature", 0.0, TEMPERATURE_MAX),
        top_k=_whole(given, "top_k", 0, TOP_K_MAX),
        top_p=_number(given, "top_p", 0.0, 1.0),
        seed=_whole(given, "seed", 0, SEED_MAX),
        stop=_texts(given, "stop"),
        stop_tokens=_tokens(given, "stop_tokens"),
        ignore_end=_flag(given, "ignore_end"),
        logprobs=_flag(given, "logprobs"),
        speculation=_word(given, "speculation", SPECULATIONS),
        draft_tokens=_whole(given, "draft_tokens", 1, DRAFT_TOKENS_MAX),
    )
    if options.top_p == 0:
        raise InvalidRequestError("parameter top_p is 0; expected a number above 0, at most 1")
    return options


def as_parameters(options: GenerationOptions) -> dict[str, Scalar]:
    """What `read_options` reads back."""
    return {
        name: json.dumps(value) if isinstance(value := getattr(options, name), tuple) else value
        for name in _NAMES
    }


def _whole(given: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequestError(
            f"parameter {name} is {value!r}; expected a whole number from {low} to {high}"
        )
    return value


def _number(given: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = given[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        raise InvalidRequestError(
            f"parameter {name} is {value!r}; expected a number from {low:g} to {high:g}"
        )
    return float(value)


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given[name]
    if not isinstance(value, bool):
        raise InvalidRequestError(f"parameter {name} is {value!r}; expected true or false")
    return value


def _word(given: Mapping[str, Any], name: str, allowed: tuple[Speculation, ...]) -> Speculation:
    value = given[name]
    if value not in allowed:
        raise InvalidRequestError(f"parameter {name} is {value!r}; allowed: {', '.join(allowed)}")
    return cast("Speculation", value)


def _texts(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A text, or a JSON list of texts, as parameters of the protocol are no lists."""
    value = given[name]
    wanted = (
        f'a text, or a JSON list such as ["\\n\\n", "END"] of at most {STOPS_MAX} texts, '
        f"each of 1 to {STOP_CHARACTERS_MAX} characters"
    )
    found = _list(value) if isinstance(value, str) and value.startswith("[") else value
    if isinstance(found, str):
        found = (found,)
    if (
        not isinstance(found, list | tuple)
        or len(found) > STOPS_MAX
        or not all(isinstance(text, str) and 1 <= len(text) <= STOP_CHARACTERS_MAX for text in found)
    ):
        raise InvalidRequestError(f"parameter {name} is {value!r:.200}; expected {wanted}")
    return tuple(found)


def _tokens(given: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = given[name]
    found = _list(value) if isinstance(value, str) else [value] if isinstance(value, int) else value
    if (
        not isinstance(found, list | tuple)
        or len(found) > STOPS_MAX
        or not all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in found)
    ):
        raise InvalidRequestError(
            f"parameter {name} is {value!r:.200}; expected a token, or a JSON list such as [2, 13] of at most {STOPS_MAX}"
        )
    return tuple(found)


def _list(text: str) -> Any:
    """A text that begins like a list and is none is a text."""
    if len(text) > LIST_CHARACTERS_MAX:
        return text[:LIST_CHARACTERS_MAX]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
