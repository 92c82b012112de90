"""Protobuf messages described in Python, for the few public ones that no package of the server brings along.

They are wire-equal to the public definitions (tests compare them with tritonclient's); a pool of their own lets them
live beside others of the same names in one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Field = tuple[int, str]
"""Number and type: a scalar such as `uint64`, `repeated X`, `map X` (keys are strings), `enum X` or a message's name."""
_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _F.TYPE_BOOL,
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "uint64": _F.TYPE_UINT64,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
}
_WELL_KNOWN = (any_pb2, duration_pb2)


def message_classes(
    file: str,
    package: str,
    messages: Mapping[str, Mapping[str, Field]],
    enums: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Classes by message name; `Outer.Inner` is a nested message. Enums number their values from 0."""
    proto = descriptor_pb2.FileDescriptorProto(name=file, package=package, syntax="proto3")
    pool = DescriptorPool()
    for known in _WELL_KNOWN:
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        proto.dependency.append(known.DESCRIPTOR.name)
    for name, values in (enums or {}).items():
        enum = proto.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    made: dict[str, Any] = {}
    for path, fields in messages.items():
        outer, _, name = path.rpartition(".")
        made[path] = (made[outer].nested_type if outer else proto.message_type).add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(made[path], f"{package}.{path}", package, field, number, kind)
    pool.AddSerializedFile(proto.SerializeToString())
    return {path: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{path}")) for path in messages}


def _add_field(message: Any, full_name: str, package: str, name: str, number: int, kind: str) -> None:
    label = _F.LABEL_OPTIONAL
    first, _, rest = kind.partition(" ")
    if first in ("repeated", "map"):
        label, kind = _F.LABEL_REPEATED, rest
    if first == "map":
        entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, full_name, package, "key", 1, "string")
        _add_field(entry, full_name, package, "value", 2, kind)
        message.field.add(
            name=name,
            number=number,
            label=label,
            type=_F.TYPE_MESSAGE,
            type_name=f".{full_name}.{entry_name}",
        )
        return
    field = message.field.add(name=name, number=number, label=label)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    enum, _, enum_name = kind.partition(" ")
    type_name = enum_name or kind
    field.type = _F.TYPE_ENUM if enum == "enum" else _F.TYPE_MESSAGE
    field.type_name = f".{type_name}" if type_name.startswith("google.") else f".{package}.{type_name}"
