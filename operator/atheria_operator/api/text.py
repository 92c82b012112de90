"""What the runtime `text` may and must say, and how the server is told; called by `api.parse`.

Our server serves it, so everything else of the resource means what it means elsewhere. The server learns of the runtime by a
parameter of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.types import AtheriaModelSpec
from atheria_operator.api.types.text import Attention, KvCache

PARAMETER: Final = "runtime"
_OFF: Final = "off"
_KV_CACHE: Final = {
    "precision": "kv_precision",
    "recentWindow": "kv_recent_window",
    "leastAgreement": "kv_least_agreement",
    "mostDivergence": "kv_most_divergence",
}
"""Parameter of the server by field of spec.kvCache."""
_ATTENTION: Final = {"kernel": "attention"}
"""The same of spec.attention."""


def model_parameters(spec: AtheriaModelSpec) -> dict[str, Any]:
    """Parameters of the model, for the server; spec.kvCache and spec.attention are some of them."""
    model = spec.model
    if model.runtime != names.RUNTIME_TEXT:
        return dict(model.parameters)
    typed = {parameter: value for _, parameter, value in _typed(spec)}
    return {**model.parameters, **typed, PARAMETER: names.RUNTIME_TEXT}


def text_problem(spec: AtheriaModelSpec) -> str:
    """What is wrong with the runtime, with field, value and what to write; empty for nothing."""
    if spec.model.runtime != names.RUNTIME_TEXT:
        for field, given in (("spec.kvCache", spec.kvCache), ("spec.attention", spec.attention)):
            if given is not None:
                return (
                    f"{field} is set, and spec.model.runtime is {spec.model.runtime!r}, which keeps no keys and values: set it to "
                    f"text, or remove {field}"
                )
        return ""
    if spec.model.source.startswith("python://"):
        return (
            f"spec.model.source is {spec.model.source!r}, a LitAPI, and spec.model.runtime is text, which serves a causal language "
            "model's files: name those, such as hf://OWNER/NAME@REVISION or pvc://CLAIM/PATH, or leave spec.model.runtime out"
        )
    if PARAMETER in spec.model.parameters:
        return f"spec.model.parameters.{PARAMETER} is set by spec.model.runtime: remove it"
    for field, parameter, value in _typed(spec):
        if parameter in spec.model.parameters:
            return (
                f"{field} is {value!r} and spec.model.parameters.{parameter}, which is the same setting, is "
                f"{spec.model.parameters[parameter]!r}: remove the parameter"
            )
    if spec.compile.mode != _OFF:
        return (
            f"spec.compile.mode is {spec.compile.mode!r}, and the runtime text computes uncompiled, as lengths change with every "
            "step: set it to 'off', or leave spec.compile out"
        )
    if spec.warmup.shapes:
        return "spec.warmup.shapes is set, and a text has no shape: remove it"
    return ""


def _typed(spec: AtheriaModelSpec) -> Iterator[tuple[str, str, Any]]:
    """(field, the server's parameter, value) of what spec.kvCache and spec.attention say; nothing of what they leave out."""
    for part, given, parameters in (
        ("kvCache", spec.kvCache or KvCache(), _KV_CACHE),
        ("attention", spec.attention or Attention(), _ATTENTION),
    ):
        for field, parameter in parameters.items():
            value = getattr(given, field)
            if value is not None:
                yield f"spec.{part}.{field}", parameter, value
