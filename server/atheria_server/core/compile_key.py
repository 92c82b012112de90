"""Which published compiled code may be used here: one key for everything that compiled code depends on. Pure.

Facts are gathered by `optimize.compiling.facts`; `optimize.compiling.cache` names its entries by the key. Two pods have
equal keys only if the code that one compiled is right and fast for the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

KEY_CHARACTERS: Final = 32
"""Hexadecimal digits of a key: 128 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileFacts:
    """What compiled code depends on."""

    model_digest: str
    """Of the weights: AOT packages contain them."""
    code_digest: str
    """Of the model's code and the server's."""
    torch: str
    """Version, with the part after `+`: it names the build."""
    cuda: str
    """Version of CUDA that torch was built for; empty without a GPU."""
    driver: str
    """Version of the GPU's driver; empty without a GPU."""
    architecture: str
    """Of the GPU (`sm_90`), or of the CPU with a digest of its flags."""
    threads: int
    """Of torch: kernels for the CPU are compiled for a number of threads."""
    mode: str
    """Of CompileConfig, after `auto` was decided."""
    precision: str
    """Policy, or a text that tells one plan from another."""
    row_buckets: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    """That are warmed up: without the first call of a shape its code is not in the entry."""


def compile_key(facts: CompileFacts) -> str:
    """KEY_CHARACTERS hexadecimal digits; equal for equal facts, whatever wrote them down."""
    return key_of_document(asdict(facts))


def key_of_document(document: Mapping[str, Any]) -> str:
    """The key of facts as JSON gives them back; tuples and lists count as equal."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


def different_facts(document: Mapping[str, Any], facts: CompileFacts) -> list[str]:
    """Sentences such as `architecture is 'x', here it is 'y'` for what differs, for people."""
    here, there = (json.loads(json.dumps(one)) for one in (asdict(facts), dict(document)))
    return [
        f"{name} is {there.get(name)!r}, here it is {here[name]!r}"
        for name in here
        if there.get(name) != here[name]
    ]
