"""Our OIP stubs against tritonclient's: same field numbers, types and labels, and no drift from the proto files.

Of ModelConfig and what it holds only the fields that the server can fill are ours; everything else is complete.
"""

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc.model_config_pb2 as triton_config
import tritonclient.grpc.service_pb2 as triton
from google.protobuf.descriptor import Descriptor

from atheria_contract.generated import inference_pb2 as ours

ROOT = Path(__file__).parents[2]


def shape(message: Descriptor) -> dict[str, tuple[object, ...]]:
    """By field: number, type, label, the type's name, and the oneof that it is in."""
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            (field.message_type or field.enum_type).full_name
            if field.message_type or field.enum_type
            else "",
            field.containing_oneof.name if field.containing_oneof else "",
        )
        for field in message.fields
    }


def nested(messages: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for message in messages:
        yield message
        yield from nested(message.nested_types)


OURS = {m.full_name: m for m in nested(ours.DESCRIPTOR.message_types_by_name.values())}
THEIRS = {
    m.full_name: m
    for file in (triton, triton_config)
    for m in nested(file.DESCRIPTOR.message_types_by_name.values())
}
OF_THE_CONFIG = {m.full_name for m in nested(triton_config.DESCRIPTOR.message_types_by_name.values())}


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_message_has_the_fields_that_tritonclient_knows(name: str) -> None:
    mine, theirs = shape(OURS[name]), shape(THEIRS[name])
    assert mine == {key: value for key, value in theirs.items() if key in mine}
    if name not in OF_THE_CONFIG:
        assert set(mine) == set(theirs)


def test_the_data_types_are_numbered_as_tritonclient_numbers_them() -> None:
    def numbers(file: Any) -> dict[str, int]:
        return {v.name: v.number for v in file.DESCRIPTOR.enum_types_by_name["DataType"].values}

    assert numbers(ours) == numbers(triton_config)


def test_a_configuration_made_here_is_read_by_tritonclient_in_the_same_process() -> None:
    config = ours.ModelConfig(name="m", max_batch_size=4)
    config.input.add(name="x", data_type=ours.TYPE_FP32, dims=[-1, 3])
    config.parameters["source"].string_value = "builtin://echo"
    config.dynamic_batching.max_queue_delay_microseconds = 5
    read = triton_config.ModelConfig.FromString(config.SerializeToString())
    assert (read.name, read.max_batch_size, list(read.input[0].dims)) == ("m", 4, [-1, 3])
    assert read.parameters["source"].string_value == "builtin://echo"
    assert read.WhichOneof("scheduling_choice") == "dynamic_batching"


def test_the_calls_have_the_names_and_types_that_tritonclient_calls() -> None:
    theirs = triton.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for name, method in ours.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name.items():
        other = theirs[name]
        assert (method.input_type.full_name, method.output_type.full_name) == (
            other.input_type.full_name,
            other.output_type.full_name,
        )
        assert (method.client_streaming, method.server_streaming) == (
            other.client_streaming,
            other.server_streaming,
        )


def test_the_generated_stubs_are_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "generate_stubs.py", tmp_path], check=True, timeout=60)
    committed = ROOT / "contract" / "atheria_contract" / "generated"
    for fresh in sorted(tmp_path.iterdir()):
        assert (committed / fresh.name).read_text() == fresh.read_text(), (
            f"{fresh.name} is stale: run `make generate`"
        )


def test_kedas_protocol_is_kedas_own_to_the_letter() -> None:
    comment, _, theirs = (ROOT / "contract" / "proto" / "externalscaler.proto").read_text().partition("\n\n")
    assert "Apache License, Version 2.0" in comment
    # Of pkg/scalers/externalscaler/externalscaler.proto at the commit that the comment names.
    assert hashlib.sha256(theirs.encode()).hexdigest() == (
        "0e1c84a7ee1d4745eefe1fd7d16e2cbbd02763dc0cfc4c4c37d92d026deb9253"
    )


def test_the_contract_package_needs_no_half_of_the_project() -> None:
    assert importlib.util.find_spec("atheria_contract") is not None
    code = (
        "import sys; import atheria_contract.names, atheria_contract.serving, atheria_contract.generated.inference_pb2_grpc;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('torch', 'kopf', 'kubernetes', 'litserve', 'numpy')];"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
