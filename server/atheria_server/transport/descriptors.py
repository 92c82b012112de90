"""Protobuf messages described in Python, for the few public ones that no package of the server brings along.

Called by `status_details`. They are wire-equal to the public definitions; a pool of their own lets them live beside
others of the same names in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, duration_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Field = tuple[int, str]
"""Number and type: a scalar such as `int32`, a message's full name, `repeated X`, or `map X` (keys are strings)."""
_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"int32": _F.TYPE_INT32, "string": _F.TYPE_STRING}
_WELL_KNOWN = (any_pb2, duration_pb2)


def message_classes(file: str, package: str, messages: Mapping[str, Mapping[str, Field]]) -> dict[str, Any]:
    """Classes by message name."""
    proto = descriptor_pb2.FileDescriptorProto(name=file, package=package, syntax="proto3")
    pool = DescriptorPool()
    for known in _WELL_KNOWN:
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        proto.dependency.append(known.DESCRIPTOR.name)
    for name, fields in messages.items():
        message = proto.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, f".{package}.{name}", field, number, kind)
    pool.AddSerializedFile(proto.SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _add_field(message: Any, full_name: str, name: str, number: int, kind: str) -> None:
    *labels, kind = kind.split(" ")
    if labels == ["map"]:
        entry_name = f"{name.capitalize()}Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "", "key", 1, "string")
        _add_field(entry, "", "value", 2, kind)
        kind = f"{full_name}.{entry_name}".removeprefix(".")
    field = message.field.add(
        name=name, number=number, label=_F.LABEL_REPEATED if labels else _F.LABEL_OPTIONAL
    )
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _F.TYPE_MESSAGE, f".{kind}"
