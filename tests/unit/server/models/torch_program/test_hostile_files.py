"""Files that are damaged, or made to do harm: each a clear error, and nothing in them ever runs."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from atheria_server.models.torch_program.api import TorchProgramApi
from atheria_server.models.torch_program.archive import ProgramError
from atheria_server.sources.errors import UnusableSourceError

Damage = Callable[..., Path]
WEIGHTS = "data/weights/model_weights_config.json"


class Touch:
    """What a pickle can do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def load(path: Path) -> None:
    api = TorchProgramApi({}, path=path)
    api.setup("cpu")
    call = api.warmup_calls([], 1)[0]
    api.validate(call.inputs, call.parameters, streaming=False)


def graph(program: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = program["graph_module"]["graph"]
    return found


@pytest.mark.parametrize("kept", [0, 10, 1000, -100])
def test_a_truncated_file_is_refused(mix_file: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "short.pt2"
    path.write_bytes(mix_file.read_bytes()[:kept])
    with pytest.raises(ProgramError, match="or is truncated"):
        load(path)


def test_a_flipped_byte_is_noticed(mix_file: Path, tmp_path: Path) -> None:
    data = bytearray(mix_file.read_bytes())
    with zipfile.ZipFile(mix_file) as archive:
        weight = archive.read("mix/data/weights/weight_0")
    data[data.index(weight) + 8] ^= 0xFF
    (tmp_path / "flipped.pt2").write_bytes(data)
    with pytest.raises(ProgramError, match="weight_0 is damaged"):
        load(tmp_path / "flipped.pt2")


def test_a_zip_that_is_no_program_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pt2")
    with pytest.raises(ProgramError, match="no exported program"):
        load(tmp_path / "weights.pt2")


def test_a_file_that_would_unpack_to_far_more_is_refused(damaged: Damage) -> None:
    path = damaged(records={"data/extra": bytes(64 << 20)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ProgramError, match="would unpack to"):
        load(path)


def test_two_records_of_one_name_are_refused(mix_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.pt2"
    path.write_bytes(mix_file.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("mix/models/model.json", "{}")
    with pytest.raises(ProgramError, match="two records"):
        load(path)


def test_compiled_code_is_refused(damaged: Damage) -> None:
    with pytest.raises(ProgramError, match="compiled code"):
        load(damaged(records={"data/aotinductor/model/x.so": b"\x7fELF"}))


def test_a_missing_weight_is_named(damaged: Damage) -> None:
    path = damaged(changes={WEIGHTS: lambda document: document["config"].pop("convolution.weight")})
    with pytest.raises(ProgramError, match=r"lacks the weights 'convolution\.weight'"):
        load(path)
    with pytest.raises(ProgramError, match="lacks the record 'data/weights/weight_0'"):
        load(damaged(records={"data/weights/weight_0": None}))


def test_a_weight_that_is_too_short_is_named(damaged: Damage) -> None:
    with pytest.raises(ProgramError, match=r"'convolution\.weight' has 16 bytes, too few"):
        load(damaged(records={"data/weights/weight_0": bytes(16)}))


def test_weights_that_are_not_finite_are_refused(damaged: Damage) -> None:
    bad = b"\x00\x00\xc0\x7f" * 72
    with pytest.raises(UnusableSourceError, match=r"'convolution\.weight' hold NaN or infinity"):
        load(damaged(records={"data/weights/weight_0": bad}))


def test_a_pickled_weight_is_refused_and_not_read(damaged: Damage, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"

    def marked(document: dict[str, Any]) -> None:
        document["config"]["convolution.weight"]["use_pickle"] = True

    path = damaged(changes={WEIGHTS: marked}, records={"data/weights/weight_0": pickle.dumps(Touch(trace))})
    with pytest.raises(ProgramError, match="pickled object"):
        load(path)
    assert not trace.exists()


@pytest.mark.parametrize("record", ["data/constants/opaque_obj_0", "data/constants/custom_obj_0"])
def test_a_pickled_object_is_refused_and_not_read(damaged: Damage, tmp_path: Path, record: str) -> None:
    trace = tmp_path / "was-here"

    def added(document: dict[str, Any]) -> None:
        path_name = record.rpartition("/")[2]
        document["config"]["thing"] = {
            "path_name": path_name,
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }

    path = damaged(
        changes={"data/constants/model_constants_config.json": added},
        records={record: pickle.dumps(Touch(trace))},
    )
    with pytest.raises(ProgramError, match="pickled object"):
        load(path)
    assert not trace.exists()


def test_example_inputs_are_not_read(damaged: Damage, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    buffer = io.BytesIO()
    torch.save(Touch(trace), buffer)
    load(damaged(records={"data/sample_inputs/model.pt": buffer.getvalue()}))
    assert not trace.exists()


def test_guards_and_other_code_in_the_file_are_not_read(damaged: Damage, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    code = f"__import__('pathlib').Path({str(trace)!r}).touch()"

    def changed(program: dict[str, Any]) -> None:
        program["guards_code"] = [code]
        program["verifiers"] = [code]
        for node in graph(program)["nodes"]:
            node["metadata"] = {"stack_trace": f"x\n{code}", "nn_module_stack": code}
            node["name"] = f"x = {code}"
        program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = code

    load(damaged(program=changed))
    assert not trace.exists()


def test_a_size_that_is_code_is_refused_and_not_run(damaged: Damage, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"

    def changed(program: dict[str, Any]) -> None:
        size = graph(program)["tensor_values"]["x"]["sizes"][2]["as_expr"]
        size["expr_str"] = f"__import__('pathlib').Path({str(trace)!r}).touch()"

    with pytest.raises(ProgramError, match=r"input 'x' has a size"):
        load(damaged(program=changed))
    assert not trace.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "_operator.attrgetter",
        "math.__dict__",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.__class__.__init__",
        "torch.ops.mine.evil.default",
        "torch.ops.higher_order.cond",
        "#something",
        7,
    ],
)
def test_a_function_that_is_no_operator_is_refused(damaged: Damage, target: Any) -> None:
    def changed(program: dict[str, Any]) -> None:
        graph(program)["nodes"][0]["target"] = target

    with pytest.raises(ProgramError, match=r"does not run|has no"):
        load(damaged(program=changed))


def test_an_operator_that_torch_lacks_is_named(damaged: Damage) -> None:
    def changed(program: dict[str, Any]) -> None:
        graph(program)["nodes"][0]["target"] = "torch.ops.aten.conv2d_of_tomorrow.default"

    with pytest.raises(ProgramError, match="export with the version that serves"):
        load(damaged(program=changed))


def test_names_in_the_file_never_become_code(damaged: Damage, tmp_path: Path) -> None:
    """torch writes a graph as Python source; every name in it must be ours."""
    trace = tmp_path / "was-here"
    evil = f'x=__import__("pathlib").Path({str(trace)!r}).touch()'

    def changed(program: dict[str, Any]) -> None:
        text = (
            json.dumps(program)
            .replace('"x"', json.dumps(evil))
            .replace('"p_out_weight"', json.dumps(evil + "#"))
        )
        program.clear()
        program.update(json.loads(text))

    api = TorchProgramApi({}, path=damaged(program=changed))
    api.setup("cpu")
    assert evil not in api.network.code  # type: ignore[union-attr]
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.clear(), "no signature"),
        (lambda p: graph(p).update(nodes=[{}]), "cannot be read"),
        (lambda p: graph(p)["tensor_values"].pop("x"), "no signature"),
        (lambda p: graph(p)["nodes"].pop(0), "before it is computed"),
        (lambda p: graph(p)["nodes"][0]["inputs"][3].update(arg={"as_ints": ["1", "1"]}), "in place of int"),
        (lambda p: graph(p)["nodes"][0]["inputs"][3].update(name="self"), "takes no|cannot be read"),
        (lambda p: graph(p)["tensor_values"]["x"].update(dtype=99), "datatype"),
    ],
    ids=["empty", "node", "value", "order", "type", "argument", "dtype"],
)
def test_a_program_that_makes_no_sense_is_refused(damaged: Damage, change: Any, words: str) -> None:
    with pytest.raises(ProgramError, match=words):
        load(damaged(program=change))


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"[" * 100_000, b"\xff"])
def test_a_program_that_is_no_json_is_refused(damaged: Damage, text: bytes) -> None:
    with pytest.raises(ProgramError, match=r"models/model\.json is"):
        load(damaged(records={"models/model.json": text}))


def test_an_old_file_with_more_than_tensors_is_refused(old_mix_file: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    path = tmp_path / "evil.pt2"
    buffer = io.BytesIO()
    torch.save({"convolution.weight": Touch(trace)}, buffer)
    with zipfile.ZipFile(old_mix_file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            is_weights = name == "serialized_state_dict.pt"
            new.writestr(name, buffer.getvalue() if is_weights else old.read(name))
    with pytest.raises(ProgramError, match="more than tensors"):
        load(path)
    assert not trace.exists()
