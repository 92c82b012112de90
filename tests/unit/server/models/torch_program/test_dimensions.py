"""Sizes as torch.export writes them, read without evaluating anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_server.models.torch_program.dimensions import (
    Dimension,
    DimensionError,
    parse_expression,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Symbol('s77', positive=True, integer=True)", Dimension("s77", 1, 0)),
        ("s0", Dimension("s0", 1, 0)),
        ("2*s39", Dimension("s39", 2, 0)),
        ("Mul(Integer(2), Symbol('s39', positive=True, integer=True))", Dimension("s39", 2, 0)),
        ("Add(Mul(Integer(8), Symbol('s1')), Integer(-3))", Dimension("s1", 8, -3)),
        ("-(s0 - 4*2)", Dimension("s0", -1, 8)),
        ("s0 - s0 + 5", Dimension(offset=5)),
        ("Integer(7)", Dimension(offset=7)),
    ],
)
def test_linear_expressions_of_one_symbol_are_understood(text: str, wanted: Dimension) -> None:
    assert parse_expression(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "s0*s1",
        "s0 + s1",
        "s0//2",
        "FloorDiv(s0, 2)",
        "Max(1, s0)",
        "",
        "s0 +",
        "(" * 400,
        "s0" + " + 1" * 1000,
        "True",
        "1.5*s0",
        "Symbol('a b')",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(DimensionError):
        parse_expression(text)


def test_a_text_that_is_python_code_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    with pytest.raises(DimensionError):
        parse_expression(f"__import__('pathlib').Path({str(trace)!r}).touch()")
    assert not trace.exists()


def test_sizes_and_symbols_lead_to_each_other() -> None:
    dimension = parse_size({"as_expr": {"expr_str": "2*s0 + 1"}})
    assert (dimension.size({"s0": 3}), dimension.solve(7), dimension.solve(8)) == (7, 3, None)
    assert str(dimension) == "2*s0+1"
    assert parse_size({"as_int": 4}) == Dimension(offset=4)
    with pytest.raises(DimensionError):
        parse_size({"as_float": 1.0})
