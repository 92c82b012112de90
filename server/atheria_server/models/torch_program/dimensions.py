"""A dimension of a tensor: a number, or a linear expression of one size that varies, such as `2*s0`. Pure.

Parsed from what torch.export writes (`Mul(Integer(2), Symbol('s39', integer=True))`), by a grammar of our own: torch
itself would evaluate such a text as Python.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_MAX_CHARACTERS: Final = 500


class DimensionError(ValueError):
    """The text is not a linear expression of one symbol."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """`factor * symbol + offset`; without a symbol, `offset`."""

    symbol: str = ""
    factor: int = 0
    offset: int = 0

    def __str__(self) -> str:
        """As a person writes it."""
        if not self.symbol:
            return str(self.offset)
        text = self.symbol if self.factor == 1 else f"{self.factor}*{self.symbol}"
        return text if not self.offset else f"{text}{self.offset:+d}"

    def size(self, symbols: Mapping[str, int]) -> int:
        """For values of the symbols."""
        return self.offset + (self.factor * symbols[self.symbol] if self.symbol else 0)

    def solve(self, size: int) -> int | None:
        """The symbol's value that makes this `size`; None = there is none."""
        value, rest = divmod(size - self.offset, self.factor)
        return None if rest else value


def parse_size(size: Any) -> Dimension:
    """One entry of `sizes` in a serialised program. Raises DimensionError."""
    if isinstance(size, Mapping) and isinstance(size.get("as_int"), int):
        return Dimension(offset=size["as_int"])
    try:
        return parse_expression(size["as_expr"]["expr_str"])
    except (KeyError, TypeError) as error:
        raise DimensionError(f"size is {str(size)[:100]!r}") from error


def parse_expression(text: str) -> Dimension:
    """Raises DimensionError for everything that is not linear in one symbol."""
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        raise DimensionError("the expression is too long")
    try:
        terms = _terms(ast.parse(text, mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise DimensionError(f"{text!r} is not an expression of one size") from error
    offset = terms.pop("", 0)
    if not terms:
        return Dimension(offset=offset)
    if len(terms) > 1:
        raise DimensionError(f"{text!r} depends on several sizes")
    (symbol, factor) = next(iter(terms.items()))
    if factor == 0:
        return Dimension(offset=offset)
    return Dimension(symbol, factor, offset)


def _terms(node: ast.expr) -> dict[str, int]:
    """Symbol -> factor; the constant is that of ""."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return {"": value}
        case ast.Name(id=name):
            return {name: 1}
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))]) if (
            name.isidentifier()
        ):
            return {name: 1}
        case ast.Call(func=ast.Name(id="Integer"), args=[argument]):
            return _terms(argument)
        case ast.Call(func=ast.Name(id="Add"), args=arguments) if arguments:
            return _sum([_terms(argument) for argument in arguments])
        case ast.Call(func=ast.Name(id="Mul"), args=arguments) if arguments:
            return _product([_terms(argument) for argument in arguments])
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _product([{"": -1}, _terms(operand)])
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum([_terms(left), _terms(right)])
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _sum([_terms(left), _product([{"": -1}, _terms(right)])])
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _product([_terms(left), _terms(right)])
    raise ValueError


def _sum(parts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for symbol, factor in part.items():
            total[symbol] = total.get(symbol, 0) + factor
    return total


def _product(parts: list[dict[str, int]]) -> dict[str, int]:
    result = {"": 1}
    for part in parts:
        if set(part) <= {""}:
            result = {symbol: factor * part.get("", 0) for symbol, factor in result.items()}
        elif set(result) <= {""}:
            result = {symbol: factor * result.get("", 0) for symbol, factor in part.items()}
        else:
            raise ValueError
    return result
