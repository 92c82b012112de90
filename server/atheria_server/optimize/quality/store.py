"""Verdicts, and outputs of baselines, as files by digest in a folder that several pods may share.

Entries are data: JSON, and numpy arrays of bytes without pickle. One is written whole and then renamed, so a reader sees it
complete or not at all, and of several writers one wins. What cannot be read, or is not about its digest, counts as absent.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from atheria_server.core import tensors
from atheria_server.core.quality import QualityError
from atheria_server.core.quality_gate import Verdict
from atheria_server.models.contract import Arrays
from atheria_server.optimize.published import publish

_log = logging.getLogger("atheria.quality")
T = TypeVar("T")

FORMAT: Final = 1
VERDICT_BYTES_MAX: Final = 4 << 20
"""Of a file that may be a verdict; a larger one is something else."""
_HEADER: Final = "header"
_CONTEXT: Final = b"atheria verdict\n"
"""What the secret signs elsewhere is no verdict."""
_HEX: Final = frozenset("0123456789abcdef")


class VerdictStore:
    """Files in `directory`, which is made when something is put."""

    def __init__(self, directory: Path, *, secret: bytes | None = None) -> None:
        """With a `secret` entries are signed by it, and those that are not signed by it count as damaged."""
        self._directory = directory
        self._secret = secret

    def get(self, digest: str) -> Verdict | None:
        """The verdict of a variant; None = not there, or damaged, which the log says."""
        return self._read(self._path(digest, "json"), lambda data: _verdict(data, digest), VERDICT_BYTES_MAX)

    def put(self, digest: str, verdict: Verdict) -> None:
        """Publish a verdict, over an older one. Raises OSError where the folder cannot be written."""
        document = {"format": FORMAT, "digest": digest, "verdict": json.loads(verdict.to_json())}
        self._publish(self._path(digest, "json"), json.dumps(document, allow_nan=False).encode())

    def get_golden(self, digest: str) -> Sequence[Arrays] | None:
        """Outputs of the baseline, call by call, by `golden_digest`; None = not there or damaged."""
        return self._read(self._path(digest, "npz"), lambda data: _golden(data, digest), None)

    def put_golden(self, digest: str, outputs: Sequence[Arrays]) -> None:
        """Publish the baseline's outputs. Raises OSError, and TensorError for a type that the protocol lacks."""
        self._publish(self._path(digest, "npz"), _golden_bytes(digest, outputs))

    def _path(self, digest: str, suffix: str) -> Path:
        kind, _, name = digest.partition(":")
        if kind != "sha256" or len(name) != 64 or not _HEX.issuperset(name):
            raise QualityError(f"digest is {digest!r:.100}; expected sha256: and 64 hexadecimal digits")
        return self._directory / f"{name}.{suffix}"

    def _read(self, path: Path, parse: Callable[[bytes], T], bytes_max: int | None) -> T | None:
        try:
            with path.open("rb") as file:
                data = file.read() if bytes_max is None else file.read(bytes_max + 1)
            if bytes_max is not None and len(data) > bytes_max:
                raise QualityError(f"it is larger than {bytes_max} bytes")
            return parse(self._checked(data))
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - no list of what parsers raise for damaged bytes is ever whole
            _log.warning(
                "event=verdict_ignored file=%s reason=%r; it is made again",
                path,
                " ".join(str(error).split()),
            )
            return None

    def _publish(self, path: Path, data: bytes) -> None:
        publish(path, data if self._secret is None else self._signature(self._secret, data) + data)

    def _checked(self, data: bytes) -> bytes:
        if self._secret is None:
            return data
        line, _, rest = data.partition(b"\n")
        if not hmac.compare_digest(line + b"\n", self._signature(self._secret, rest)):
            raise QualityError("it is not signed by cache.key_file")
        return rest

    def _signature(self, secret: bytes, data: bytes) -> bytes:
        """The first line of a signed entry."""
        return hmac.new(secret, _CONTEXT + data, hashlib.sha256).hexdigest().encode() + b"\n"


def _verdict(data: bytes, digest: str) -> Verdict:
    document = json.loads(data)
    _check_belongs(document, digest)
    return Verdict.from_json(json.dumps(document["verdict"]))


def _golden_bytes(digest: str, outputs: Sequence[Arrays]) -> bytes:
    """An npz of byte arrays: a header that says what they are, and the tensors' bytes as the protocol has them."""
    header: dict[str, Any] = {"format": FORMAT, "digest": digest, "calls": []}
    parts: dict[str, Any] = {}
    for call in outputs:
        described = {}
        for name, value in call.items():
            array = tensors.to_array(value)
            part = str(len(parts))
            parts[part] = np.frombuffer(tensors.to_bytes(array), np.uint8)
            described[name] = [tensors.datatype_of(array), list(array.shape), part]
        header["calls"].append(described)
    buffer = BytesIO()
    parts[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(buffer, **parts)
    return buffer.getvalue()


def _golden(data: bytes, digest: str) -> Sequence[Mapping[str, Any]]:
    with np.load(BytesIO(data), allow_pickle=False) as archive:
        header = json.loads(archive[_HEADER].tobytes())
        _check_belongs(header, digest)
        return [
            {
                name: tensors.from_bytes(name, datatype, shape, archive[part].tobytes())
                for name, (datatype, shape, part) in call.items()
            }
            for call in header["calls"]
        ]


def _check_belongs(document: Any, digest: str) -> None:
    found = (document.get("format"), document.get("digest")) if isinstance(document, dict) else document
    if found != (FORMAT, digest):
        raise QualityError(f"it is about {found!r:.200}, expected {(FORMAT, digest)!r}")
