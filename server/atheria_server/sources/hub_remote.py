"""`hf://OWNER/NAME@REVISION` from a mirror that is configured: HF_ENDPOINT, and HF_TOKEN where it wants one.

Only what a model is loaded from is fetched, by plain https: no library of the hub is needed, and no pickle comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from atheria_server.sources.errors import NotReachableError, UnusableSourceError
from atheria_server.sources.http_remote import HttpClient
from atheria_server.sources.remote import Listing, RemoteFile
from atheria_server.sources.source_url import checked_name, parse_source

_WANTED: Final = (".safetensors", ".safetensors.index.json", ".pt2")
_NAMES: Final = ("config.json", "atheria.json")
_MAX_ANSWER_BYTES: Final = 16 << 20


class HubRemote:
    """The files of one repository at one commit."""

    def __init__(self, source: str, *, stall_seconds: float, environment: Mapping[str, str]) -> None:
        """Raises UnusableSourceError where no mirror is configured."""
        endpoint = environment.get("HF_ENDPOINT", "").rstrip("/")
        if not endpoint:
            raise UnusableSourceError(
                f"source {source!r} needs a mirror: set HF_ENDPOINT to its https:// address, "
                "or give a folder as hf:///folder"
            )
        parse_source(endpoint)
        self._endpoint = endpoint
        self._repository, _, self._revision = source.removeprefix("hf://").partition("@")
        token = environment.get("HF_TOKEN", "")
        self._client = HttpClient(
            stall_seconds=stall_seconds, headers={"Authorization": f"Bearer {token}"} if token else None
        )

    def listing(self) -> Listing:
        """Weights, programs and their descriptions."""
        url = f"{self._endpoint}/api/models/{self._repository}/revision/{quote(self._revision or 'main', safe='')}"
        with self._client.open(url, {}) as answer:
            text = answer.read(_MAX_ANSWER_BYTES)
        try:
            found = json.loads(text)
            commit = str(found["sha"])
            names = [str(entry["rfilename"]) for entry in found["siblings"]]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            raise NotReachableError(
                f"{url} did not answer with a list of files; check HF_ENDPOINT"
            ) from error
        wanted = sorted(name for name in names if name.endswith(_WANTED) or name in _NAMES)
        if not any(name.endswith((".safetensors", ".pt2")) for name in wanted):
            raise NotReachableError(
                f"hf://{self._repository} has no .safetensors file; convert its weights to safetensors"
            )
        base = f"{self._endpoint}/{self._repository}/resolve/{commit}"
        files = []
        for name in wanted:
            url = f"{base}/{quote(checked_name(name, base))}"
            files.append(self._client.file(url, name))
        return Listing(files=tuple(files), is_folder=True)

    @contextmanager
    def read(self, file: RemoteFile, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """As Remote says."""
        with self._client.read(file, offset) as found:
            yield found
