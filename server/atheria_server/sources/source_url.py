"""What a source's text means: a folder of this pod, or something to download. Pure: nothing is opened.

Called by `resolve` and by `models.registry`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from atheria_contract import names
from atheria_server.sources.errors import UnusableSourceError

LOCAL_SCHEMES: Final = ("file", "pvc", "oci", "hf")
REMOTE_SCHEMES: Final = ("https", "http", "s3", "gs", "hf")
SCHEMES: Final = tuple(dict.fromkeys(LOCAL_SCHEMES + REMOTE_SCHEMES))
"""Schemes of sources that are files; `builtin` and `python` are code."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_CLAIM: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUrl:
    """A source of files."""

    scheme: str
    text: str
    """As it was given; may hold secrets: log `shown`."""
    local: Path | None = None
    """Where it is in this pod; None = it is downloaded."""

    @property
    def shown(self) -> str:
        """The text for logs and errors."""
        return redacted(self.text)


def is_files(source: str) -> bool:
    """Whether the source is files, and not code."""
    return source.partition("://")[0] in SCHEMES


def parse_source(source: str, *, digest: str = "") -> SourceUrl:
    """The source's parts. Raises UnusableSourceError naming what is wrong with the text."""
    scheme, separator, rest = source.partition("://")
    if not separator or scheme not in SCHEMES:
        raise UnusableSourceError(
            f"source is {redacted(source)!r}; expected one of {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    if not rest.strip("/"):
        raise UnusableSourceError(
            f"source {redacted(source)!r} names nothing; write what comes after {scheme}://"
        )
    if local := _local(scheme, rest, source):
        return SourceUrl(scheme=scheme, text=source, local=local)
    if scheme in ("http", "https") and "@" in urlsplit(source).netloc:
        raise UnusableSourceError(
            f"source {redacted(source)!r} holds a password, which everybody who reads the model could see; "
            "use s3:// or gs:// with credentials that are mounted, or a URL that is signed"
        )
    if scheme == "http" and not digest and urlsplit(source).hostname not in _LOOPBACK:
        raise UnusableSourceError(
            f"source {redacted(source)!r} comes unencrypted and could be changed on its way; "
            "use https://, or give the digest that it must have"
        )
    return SourceUrl(scheme=scheme, text=source)


def redacted(text: str) -> str:
    """A URL without what may be a secret: user and password, and everything after `?`."""
    parts = urlsplit(text)
    host = parts.netloc.rpartition("@")[2]
    user = "***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, user + host, parts.path, "***" if parts.query else "", parts.fragment))


def checked_name(name: str, shown: str) -> str:
    """A file's name below its folder. Raises UnusableSourceError for one that would lead out of it."""
    path = PurePosixPath(name)
    if (
        not name
        or len(name) > 512
        or path.is_absolute()
        or str(path) != name
        or ".." in path.parts
        or "\\" in name
        or not name.isprintable()
    ):
        raise UnusableSourceError(
            f"{shown} lists a file {name[:80]!r}; expected names below the folder, such as weights/a.safetensors"
        )
    return name


def _local(scheme: str, rest: str, source: str) -> Path | None:
    if scheme == "file" or (scheme == "hf" and rest.startswith("/")):
        if not rest.startswith("/"):
            raise UnusableSourceError(
                f"source {source!r} is not an absolute path; write {scheme}:///folder/model"
            )
        return Path(rest)
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        if not _CLAIM.fullmatch(claim):
            raise UnusableSourceError(
                f"source {source!r}: {claim!r} is no claim's name; write pvc://CLAIM/path"
            )
        return _below(Path(names.MODELS_DIRECTORY) / claim, path, source)
    if scheme == "oci":
        return _below(Path(names.MODEL_IMAGE_DIRECTORY), rest.partition("#")[2], source)
    if scheme == "hf" and not _REPOSITORY.fullmatch(rest):
        raise UnusableSourceError(f"source {source!r}: expected hf:///folder or hf://OWNER/NAME@REVISION")
    return None


def _below(folder: Path, path: str, source: str) -> Path:
    path = path.strip("/")
    return folder / checked_name(path, source) if path else folder
