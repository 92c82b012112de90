"""The two Azure LLM hours: fetched once into the cache, checked by digest. Asked by the command.

Data: Azure/AzurePublicDataset, AzureLLMInferenceDataset2023, CC-BY-4.0; Patel et al., "Splitwise: Efficient generative LLM inference
using phase splitting", ISCA 2024.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atheria_operator.simulation.calls import Call, TokenModel, read_calls

_BASE: Final = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/b469a113cedca53ddc3bdea71a143dc4b7d8700c/data/"
_TIMEOUT_SECONDS: Final = 60.0


class TraceUnavailableError(Exception):
    """A trace that is not in the cache and cannot be fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One recorded hour."""

    file: str
    sha256: str


TRACES: Final[Mapping[str, Trace]] = {
    "code": Trace(
        file="AzureLLMInferenceTrace_code.csv",
        sha256="54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
    ),
    "conv": Trace(
        file="AzureLLMInferenceTrace_conv.csv",
        sha256="2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
    ),
}


def cache_folder() -> Path:
    """Where fetched traces are kept; outside the repository."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "atheria" / "traces"


def azure_calls(name: str, folder: Path, tokens: TokenModel) -> tuple[Call, ...]:
    """Calls of an hour of TRACES. Raises TraceUnavailableError."""
    trace = TRACES[name]
    path = folder / trace.file
    if not path.is_file():
        _fetch(trace, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != trace.sha256:
        raise TraceUnavailableError(
            f"{path}: has SHA-256 {digest}, not {trace.sha256}: delete it, so that it is fetched anew"
        )
    return read_calls(path, tokens)


def _fetch(trace: Trace, path: Path) -> None:
    url = _BASE + trace.file
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - https above
            content = answer.read()
    except (urllib.error.URLError, TimeoutError) as error:
        raise TraceUnavailableError(
            f"{url}: {error}: fetch it by hand to {path}, or run without it (--traces synthetic)"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    partial.rename(path)
