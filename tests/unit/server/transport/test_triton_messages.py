"""Our few messages of Triton's extensions against tritonclient's own: same numbers, types and labels."""

from __future__ import annotations

from typing import Any

import pytest
import tritonclient.grpc.model_config_pb2 as triton_config
import tritonclient.grpc.service_pb2 as triton

from atheria_server.transport.triton_messages import DATA_TYPES, MESSAGES


def theirs(path: str) -> Any:
    outer, _, inner = path.rpartition(".")
    for file in (triton, triton_config):
        found = file.DESCRIPTOR.message_types_by_name.get(outer or inner)
        if found is not None:
            return found.nested_types_by_name[inner] if outer else found
    raise AssertionError(path)


@pytest.mark.parametrize("path", sorted(MESSAGES))
def test_each_field_is_the_one_that_tritonclient_knows(path: str) -> None:
    known = theirs(path).fields_by_name
    for field in MESSAGES[path].DESCRIPTOR.fields:
        other = known[field.name]
        assert (field.number, field.type, field.is_repeated) == (other.number, other.type, other.is_repeated)
        if field.message_type is not None:
            assert field.message_type.full_name == other.message_type.full_name


def test_the_data_types_are_numbered_as_tritonclient_numbers_them() -> None:
    values = triton_config.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name
    assert {name: number for number, name in enumerate(DATA_TYPES)} == {
        name: value.number for name, value in values.items()
    }


def test_a_message_made_here_is_read_by_tritonclient() -> None:
    config = MESSAGES["ModelConfig"](name="m", max_batch_size=4)
    config.input.add(name="x", data_type=11, dims=[-1, 3])
    config.parameters["source"].string_value = "builtin://echo"
    read = triton_config.ModelConfig.FromString(config.SerializeToString())
    assert (read.name, read.max_batch_size, list(read.input[0].dims)) == ("m", 4, [-1, 3])
    assert read.parameters["source"].string_value == "builtin://echo"
