"""From a source that is files to the LitAPI that serves them: an exported program, or a module's weights.

Called by `registry`, in the front (which needs the signature) and in every worker: whoever comes first downloads, the
others wait for it. torch is not imported here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import litserve

from atheria_server.models.contract import Scalar
from atheria_server.models.text.settings import RUNTIME, TEXT
from atheria_server.models.torch_module.api import CLASS, TorchModuleApi
from atheria_server.models.torch_program.api import SUFFIX, TorchProgramApi
from atheria_server.sources import pickles
from atheria_server.sources.errors import UnusableSourceError
from atheria_server.sources.resolve import resolve
from atheria_server.sources.source_url import parse_source

PINNED: Final = "ATHERIA_PINNED_SOURCE"
"""Variable that the front leaves to workers that it starts later: what a download led to. A worker that is started again
serves the files that the others serve, whatever the other side has now."""


def api_of_files(
    source: str, parameters: Mapping[str, Scalar], digest: str, cache_directory: str
) -> litserve.LitAPI:
    """Built, not set up. Raises UnusableSourceError and ProgramError."""
    path = _path(source, digest, cache_directory)
    if parameters.get(RUNTIME) == TEXT:
        from atheria_server.models.text.hugging_face_origin import HuggingFaceApi

        return HuggingFaceApi(parameters, path=path, digest=digest)
    if path.is_file():
        if path.suffix == SUFFIX:
            return TorchProgramApi(parameters, path=path, digest=digest)
        if path.suffix in pickles.SUFFIXES:
            raise pickles.refusal(path)
        raise UnusableSourceError(
            f"{path.name} is nothing that can be served; give a .pt2 file, or a folder with atheria.json, config.json "
            "and model.safetensors"
        )
    programs = sorted(path.glob(f"*{SUFFIX}"))
    if CLASS in parameters or not programs:
        return TorchModuleApi(parameters, path=path, digest=digest)
    if len(programs) > 1:
        raise UnusableSourceError(
            f"{path.name} holds {len(programs)} exported programs ({', '.join(p.name for p in programs[:5])}); "
            "name the file in the source"
        )
    return TorchProgramApi(parameters, path=programs[0], digest=digest, digest_of=path)


def _path(source: str, digest: str, cache_directory: str) -> Path:
    """Where the files are; the digest of files that were there before is checked when the worker loads them."""
    if parse_source(source, digest=digest).local is not None:
        return resolve(source, digest=digest, checks_kept=False).path
    cache = Path(cache_directory) if cache_directory else None
    key = hashlib.sha256(f"{source}\n{digest}".encode()).hexdigest()
    known, _, pinned = os.environ.get(PINNED, "").partition(":")
    if known == key and Path(pinned).exists():
        return Path(pinned)
    path = resolve(source, digest=digest, cache_directory=cache, checks_kept=False).path
    os.environ[PINNED] = f"{key}:{path}"
    return path
