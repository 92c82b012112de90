"""What a model server is told to serve: the operator writes it, the server reads it.

The operator renders a `ServingConfig` as JSON into a ConfigMap (one per revision) that is mounted at
`names.CONFIG_DIRECTORY/names.CONFIG_FILE`; `atheria-server serve --config FILE` parses it. Outside a cluster the
same object is built from the command line. Unknown keys and wrong types are errors that name the key.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_contract.optimization import (
    CacheConfig,
    CompileConfig,
    PrecisionConfig,
    QualityConfig,
    WarmupConfig,
)

Scalar = str | int | float | bool


class ServingConfigError(ValueError):
    """The configuration cannot be used; the message names the key, the value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyConfig:
    """Whether the server may be put to sleep, and by whom."""

    token_digest: str = ""
    """Of the token that orders to sleep and to wake must show (`atheria_contract.standby`); empty = it never sleeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """One model, served by one process group in one pod."""

    name: str
    """Model name that clients send (OIP `model_name`)."""
    source: str
    """`builtin://qca` or `python://package.module:LitAPIClass`."""
    parameters: dict[str, Scalar] = field(default_factory=dict)
    """Arguments of the model, e.g. `{"law": "nca"}`."""
    digest: str = ""
    """`sha256:<hex>` that the model's weights must have; empty = not checked."""
    grpc_port: int = names.PORT_GRPC
    http_port: int = names.PORT_HTTP
    host: str = "0.0.0.0"
    max_batch_size: int = 8
    """Rows computed together at most."""
    max_latency_seconds: float = 0.05
    """Longest wait for a fuller batch while a worker is busy; an idle worker gets the batch at once."""
    max_queue_depth: int = 512
    """Rows waiting at most; further calls get RESOURCE_EXHAUSTED."""
    workers: int = 1
    """Processes that each hold the model, per device; more than one where one process does not fill the device."""
    idempotent: bool = False
    """A call may be computed twice: if a worker dies, its calls are computed again, once."""
    max_message_bytes: int = 64 * 1024 * 1024
    """Largest request or answer."""
    warmup_shapes: tuple[tuple[int, ...], ...] = ()
    """Shapes of one row (without the batch dimension) computed before the server says ready; empty = the model's own."""
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    compile: CompileConfig = field(default_factory=CompileConfig)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    standby: StandbyConfig = field(default_factory=StandbyConfig)
    drain_delay_seconds: float = 3.0
    """After SIGTERM: still accepts calls this long, while routers learn that the pod is going."""
    drain_timeout_seconds: float = 20.0
    """After the delay: accepted calls get this long to finish."""

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, so that equal configurations have equal hashes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def parse_serving_config(text: str) -> ServingConfig:
    """Parse what `to_json` wrote. Raises ServingConfigError naming the offending key."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ServingConfigError(f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ServingConfigError(
            f"expected an object with keys such as name and source, got {type(data).__name__}"
        )
    for key in ("name", "source"):
        if not data.get(key, ""):
            raise ServingConfigError(f"key {key!r} is missing or empty")
    config: ServingConfig = _section("", data, ServingConfig)
    return config


def _section(path: str, data: Mapping[str, Any], kind: Any) -> Any:
    known = typing.get_type_hints(kind)
    if unknown := sorted(set(data) - set(known)):
        raise ServingConfigError(f"unknown key {path + unknown[0]!r}; allowed: {', '.join(sorted(known))}")
    return kind(**{key: _convert(path + key, value, known[key]) for key, value in data.items()})


def _convert(path: str, value: Any, kind: Any) -> Any:
    """`value` of JSON as a field of type `kind`: a section, a scalar, a tuple, or a mapping of names."""
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise ServingConfigError(f"{path} is {value!r}; expected an object")
        return _section(f"{path}.", value, kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise ServingConfigError(f"{path} is {value!r}; expected {_EXPECTED.get(path, 'a list')}")
        item = typing.get_args(kind)[0]
        return tuple(_convert(path, one, item) for one in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ServingConfigError(f"{path} is {value!r}; expected an object")
        item = typing.get_args(kind)[1]
        return {str(key): _convert(f"{path}.{key}", one, item) for key, one in value.items()}
    if kind is float and _is_int(value):
        return float(value)
    allowed = typing.get_args(kind) or (kind,)
    if not any(_is_int(value) if one is int else isinstance(value, one) for one in allowed):
        wanted = " or ".join(one.__name__ for one in allowed)
        raise ServingConfigError(f"{path} is {value!r}; expected {_EXPECTED.get(path, wanted)}")
    return value


_EXPECTED: Final = {"warmup_shapes": "a list of shapes such as [[16, 64, 64]]"}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
