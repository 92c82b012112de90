"""Our OIP stubs against tritonclient's: same field numbers, types and labels, and no drift from the proto files."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import tritonclient.grpc.service_pb2 as triton
from google.protobuf.descriptor import Descriptor

from atheria_contract.generated import inference_pb2 as ours

ROOT = Path(__file__).parents[2]


def shape(message: Descriptor) -> dict[str, tuple[int, int, bool]]:
    return {f.name: (f.number, f.type, f.is_repeated) for f in message.fields}


@pytest.mark.parametrize("name", sorted(ours.DESCRIPTOR.message_types_by_name))
def test_each_message_has_the_fields_that_tritonclient_knows(name: str) -> None:
    mine, theirs = ours.DESCRIPTOR.message_types_by_name[name], triton.DESCRIPTOR.message_types_by_name[name]
    assert shape(mine) == {key: value for key, value in shape(theirs).items() if key in shape(mine)}
    assert set(shape(mine)) == set(shape(theirs))


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


def test_the_contract_package_needs_no_half_of_the_project() -> None:
    assert importlib.util.find_spec("atheria_contract") is not None
    code = (
        "import sys; import atheria_contract.names, atheria_contract.serving, atheria_contract.generated.inference_pb2_grpc;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('torch', 'kopf', 'kubernetes', 'litserve', 'numpy')];"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
