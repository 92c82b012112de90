"""What a person may set on the runtime `text`: `spec.model.parameters` of an AtheriaModel, `--set` on the command line.

No torch: parsed by the front process at start and again in the worker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from atheria_server.core.attention_choice import AUTOMATIC, CHOICES
from atheria_server.core.cache_error_budget import CacheErrorBudget
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.core.unread_frames import UNREAD_BYTES
from atheria_server.models.contract import InvalidRequestError, Scalar
from atheria_server.models.text.options import GenerationOptions, read_options

RUNTIME: Final = "runtime"
TEXT: Final = "text"
PLACES_MAX: Final = 1024
PROMPT_TOKENS_MAX: Final = 1 << 16
UNREAD_BYTES_MIN: Final = 1 << 20
"""About 1400 tokens."""
_UNITS: Final = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_DEFAULTS: Final = ("max_new_tokens", "temperature", "top_k", "top_p", "speculation", "draft_tokens")
"""Options of a call that the model's author may set for calls that say nothing."""
_OWN: Final = (
    *(
        "places",
        "cache_bytes",
        "prompt_tokens_per_step",
        "context_length",
        "prefix_cache",
        "threads",
        "unread_bytes",
    ),
    *("kv_precision", "kv_recent_window", "kv_least_agreement", "kv_most_divergence", "attention"),
)
PARAMETERS: Final = (RUNTIME, *_OWN, *_DEFAULTS)


class TextSettingsError(ValueError):
    """The model's parameters cannot be used; the message names the parameter, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """Of one model."""

    places: int = 64
    """Texts in the running batch of a worker at most; further calls wait in the front's queue."""
    cache_bytes: int = 0
    """Of keys and values; 0 = as `text.api` finds right for the device."""
    unread_bytes: int = UNREAD_BYTES
    """Of a worker's frames that wait in the front for their readers."""
    prompt_tokens_per_step: int = 256
    """Tokens of prompts that a step reads at most, beside one token for each text."""
    context_length: int = 0
    """Most tokens of a text with its prompt; 0 = the network's."""
    prefix_cache: bool = True
    """Keep the keys and values of earlier calls for those that begin alike, as far as the cache has room."""
    threads: int = 0
    """Of torch on the CPU; 0 = one or all of the worker's share, whichever a step is faster with at the start."""
    cache: CacheSettings = field(default_factory=CacheSettings)
    """As wanted; `text.start` steps back to a more exact precision where this is over `error_budget`."""
    error_budget: CacheErrorBudget = field(default_factory=CacheErrorBudget)
    attention: str = AUTOMATIC
    """One of `core.attention_choice.CHOICES`."""
    defaults: GenerationOptions = field(default_factory=GenerationOptions)
    """For what a call does not say."""


def parse_text_settings(parameters: Mapping[str, Scalar], also: tuple[str, ...] = ()) -> TextSettings:
    """The settings; `also` = parameters that somebody else reads. Raises TextSettingsError."""
    allowed = {*PARAMETERS, *also}
    if unknown := sorted(set(parameters) - allowed):
        raise TextSettingsError(f"unknown parameter {unknown[0]!r}; allowed: {', '.join(sorted(allowed))}")
    if parameters.get(RUNTIME, TEXT) != TEXT:
        raise TextSettingsError(f"parameter {RUNTIME} is {parameters[RUNTIME]!r}; allowed: {TEXT}")
    try:
        defaults = read_options({name: parameters[name] for name in _DEFAULTS if name in parameters})
    except InvalidRequestError as error:
        raise TextSettingsError(str(error)) from error
    return TextSettings(
        places=_whole(parameters, "places", 1, PLACES_MAX, 64),
        cache_bytes=_bytes(parameters, "cache_bytes"),
        unread_bytes=_bytes(parameters, "unread_bytes", low=UNREAD_BYTES_MIN, otherwise=UNREAD_BYTES),
        prompt_tokens_per_step=_whole(parameters, "prompt_tokens_per_step", 2, PROMPT_TOKENS_MAX, 256),
        context_length=_whole(parameters, "context_length", 0, 1 << 24, 0),
        prefix_cache=_flag(parameters, "prefix_cache", otherwise=True),
        threads=_whole(parameters, "threads", 0, 256, 0),
        cache=_cache(parameters),
        error_budget=_error_budget(parameters),
        attention=_word(parameters, "attention", CHOICES),
        defaults=defaults,
    )


def _whole(given: Mapping[str, Scalar], name: str, low: int, high: int, otherwise: int) -> int:
    value = given.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise TextSettingsError(
            f"parameter {name} is {value!r}; expected a whole number from {low} to {high}"
        )
    return value


def _flag(given: Mapping[str, Scalar], name: str, *, otherwise: bool) -> bool:
    value = given.get(name, otherwise)
    if not isinstance(value, bool):
        raise TextSettingsError(f"parameter {name} is {value!r}; expected true or false")
    return value


def _word(given: Mapping[str, Scalar], name: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`; the first one is the default."""
    value = given.get(name, allowed[0])
    if value not in allowed:
        raise TextSettingsError(f"parameter {name} is {value!r}; allowed: {', '.join(allowed)}")
    return str(value)


def _bytes(given: Mapping[str, Scalar], name: str, *, low: int = 0, otherwise: int = 0) -> int:
    value = given.get(name, otherwise)
    found = re.fullmatch(r"(\d+)(|Ki|Mi|Gi|Ti)", str(value))
    count = -1 if found is None or isinstance(value, bool | float) else int(found[1]) * _UNITS[found[2]]
    if count < low:
        least = f" of {low} or more" if low else ""
        raise TextSettingsError(
            f"parameter {name} is {value!r}; expected bytes{least}, such as 512Mi, 8Gi or 10000000"
        )
    return count


def _cache(given: Mapping[str, Scalar]) -> CacheSettings:
    precision = _word(given, "kv_precision", tuple(one.value for one in CachePrecision))
    default = CacheSettings()
    window = _whole(given, "kv_recent_window", 1, 1 << 20, default.recent_window)
    try:
        return CacheSettings(
            precision=CachePrecision(precision),
            recent_window=window,
            group_tokens=min(default.group_tokens, window),
        )
    except ValueError as error:
        raise TextSettingsError(f"parameter kv_recent_window: {error}") from error


def _error_budget(given: Mapping[str, Scalar]) -> CacheErrorBudget:
    default = CacheErrorBudget()
    found = []
    for name, otherwise in (
        ("kv_least_agreement", default.least_agreement),
        ("kv_most_divergence", default.most_divergence),
    ):
        value = given.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TextSettingsError(f"parameter {name} is {value!r}; expected a number, such as {otherwise}")
        found.append(float(value))
    try:
        return CacheErrorBudget(least_agreement=found[0], most_divergence=found[1])
    except ValueError as error:
        raise TextSettingsError(f"parameters kv_least_agreement, kv_most_divergence: {error}") from error
