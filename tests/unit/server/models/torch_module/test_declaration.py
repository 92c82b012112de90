"""atheria.json: what it may say, and sentences for what it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atheria_server.models.torch_module.declaration import parse_declaration, read_declaration
from atheria_server.sources.errors import UnusableSourceError

X = {"name": "x", "datatype": "FP32", "shape": [-1, 1, "H", "W"]}
Y = {"name": "y", "datatype": "FP32", "shape": [-1, 3]}


def declared(**changes: Any) -> dict[str, Any]:
    return {"inputs": [X], "outputs": [Y], "sizes": {"H": {"min": 8, "max": 64, "default": 16}}, **changes}


def test_a_declaration_becomes_a_signature() -> None:
    signature = parse_declaration(declared())
    assert signature.inputs[0].shown_shape == "[any, 1, H, W]"
    assert signature.metadata().inputs[0].shape == (-1, 1, -1, -1)
    assert signature.calls([], 2)[0].inputs["x"].shape == (2, 1, 16, 1)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "the file is \\[\\]; expected an object"),
        (declared(output=[]), "unknown key 'output'; allowed: inputs, outputs, sizes"),
        (declared(inputs={}), "inputs is {}; expected a list"),
        (declared(inputs=[]), "no input"),
        (declared(inputs=[{**X, "dtype": "FP32"}]), r"unknown key 'inputs\[0\]\.dtype'"),
        (declared(inputs=[{**X, "name": ""}]), r"inputs\[0\]\.name is ''"),
        (declared(inputs=[{**X, "datatype": "float32"}]), "datatype 'float32'; allowed: BOOL"),
        (declared(inputs=[{**X, "datatype": "BYTES"}]), "datatype 'BYTES'"),
        (declared(inputs=[{**X, "shape": [1, 2]}]), "begins with -1"),
        (declared(inputs=[{**X, "shape": []}]), "begins with -1"),
        (declared(inputs=[{**X, "shape": [-1, 0]}]), "holds 0; expected a number from 1, -1 or a name"),
        (declared(inputs=[{**X, "shape": [-1, "2x"]}]), "holds '2x'"),
        (declared(inputs=[{**X, "minimum": "0"}]), r"inputs\[0\]\.minimum is '0'; expected a number"),
        (declared(sizes=[]), r"sizes is \[\]"),
        (declared(sizes={"H": {"min": 0}}), "expected whole numbers from 1"),
        (declared(sizes={"H": {"min": 9, "max": 8}}), "min <= default <= max"),
        (declared(sizes={"H": {"low": 9}}), r"unknown key 'sizes\.H\.low'"),
    ],
)
def test_a_wrong_declaration_is_refused_naming_the_key(document: Any, words: str) -> None:
    with pytest.raises(UnusableSourceError, match=words):
        parse_declaration(document)


def test_a_missing_or_broken_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableSourceError, match=r"has no atheria\.json; put one there"):
        read_declaration(tmp_path)
    (tmp_path / "atheria.json").write_text("{")
    with pytest.raises(UnusableSourceError, match=r"atheria\.json cannot be read"):
        read_declaration(tmp_path)
    (tmp_path / "atheria.json").write_text(json.dumps(declared()))
    assert read_declaration(tmp_path).outputs[0].name == "y"
