"""What is kept of an object for as long as it exists: without what nobody reads, packed where it is read seldom.

A thousand models have six thousand objects. As dicts they are ten times as large as their compressed JSON, and unpacking one takes
some 30 microseconds. Called by the indexes of `handlers.children` and, for the models themselves, by `handlers.models`.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Final

from atheria_operator.domain.observed import Body

_SHARED_CHARACTERS: Final = 64
_FASTEST: Final = 1
_IDENTITY: Final = frozenset({"apiVersion", "kind", "metadata"})


class Packed:
    """One object; what it is found by is at hand."""

    __slots__ = ("_data", "name", "uid")

    def __init__(self, body: Body) -> None:
        """`body` is as its JSON was parsed."""
        self.name = str(body["metadata"]["name"])
        self.uid = str(body["metadata"].get("uid") or "")
        self._data = zlib.compress(json.dumps(body, separators=(",", ":")).encode(), _FASTEST)

    def unpack(self) -> Body:
        """The object, anew each time."""
        found: Body = json.loads(zlib.decompress(self._data))
        return found


class Unpacking(Mapping[tuple[str, str], Body]):
    """Objects by kind and name, each unpacked when it is asked for, once."""

    __slots__ = ("_packed", "_unpacked")

    def __init__(self, packed: Mapping[tuple[str, str], Packed]) -> None:
        """For as long as one round looks at it."""
        self._packed = packed
        self._unpacked: dict[tuple[str, str], Body] = {}

    def __getitem__(self, key: tuple[str, str]) -> Body:
        """The object; KeyError for none."""
        if key not in self._unpacked:
            self._unpacked[key] = self._packed[key].unpack()
        return self._unpacked[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Kinds and names."""
        return iter(self._packed)

    def __len__(self) -> int:
        """How many objects."""
        return len(self._packed)


def plain(value: Any) -> Any:
    """A copy as dicts and lists, also of kopf's views; equal words are one object, of which a thousand models have many."""
    if isinstance(value, Mapping):
        return {sys.intern(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return sys.intern(value) if type(value) is str and len(value) <= _SHARED_CHARACTERS else value


def lighten(raw: MutableMapping[str, Any]) -> None:
    """Make the object of an event lighter in place: kopf's daemons keep the last one."""
    raw["metadata"] = {key: item for key, item in raw["metadata"].items() if key != "managedFields"}
    for key, item in raw.items():
        raw[key] = plain(item)


def empty(raw: MutableMapping[str, Any]) -> None:
    """Leave the object of an event its identity only, once it is indexed.

    Kopf's views of it refer to each other: it would stay until the next collection of cycles, and many come at once.
    """
    for key in raw.keys() - _IDENTITY:
        del raw[key]
    raw["metadata"].pop("managedFields", None)
