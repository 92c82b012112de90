"""The tensors of an exported program, from its JSON: for the front, which has no torch.

Names: inputs have those of `forward`'s arguments; outputs those of the dict that it returns, else `output`, or
`output_0`, `output_1`, ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from atheria_server.models.torch_program.archive import ProgramError, only, open_archive
from atheria_server.models.torch_program.dimensions import (
    Dimension,
    DimensionError,
    parse_expression,
    parse_size,
)
from atheria_server.models.torch_program.tensor_signature import (
    ANY,
    Signature,
    SignatureError,
    SizeRange,
    Tensor,
    signature_of,
)

SCALAR_TYPES: Final = {
    1: "UINT8",
    2: "INT8",
    3: "INT16",
    4: "INT32",
    5: "INT64",
    6: "FP16",
    7: "FP32",
    8: "FP64",
    12: "BOOL",
    13: "BF16",
    28: "UINT16",
    34: "UINT32",
    35: "UINT64",
}
"""Numbers of datatypes in the file -> names of the protocol; the same since torch 2.6."""
_UNBOUNDED: Final = 1 << 60


def read_signature(path: Path) -> Signature:
    """Raises ProgramError for a damaged file and for one whose tensors cannot be served."""
    with open_archive(path) as archive:
        program = archive.program()
    return parse_signature(program, path.name)


def parse_signature(program: Mapping[str, Any], name: str) -> Signature:
    """Of the program's JSON. Raises ProgramError."""
    try:
        module = program["graph_module"]
        values = module["graph"]["tensor_values"]
        ranges = _ranges(program["range_constraints"])
        inputs = user_inputs(module["signature"]["input_specs"])
        outputs = user_outputs(module["signature"]["output_specs"])
        names = _output_names(module, len(outputs))
        tensors = [_tensor(given, values[given], exact=True) for given in inputs]
        hints = _hints([values[given] for given in inputs])
        sizes = {
            symbol: SizeRange(low=low, high=high, default=_within(hints.get(symbol, low), low, high))
            for symbol, (low, high) in ranges.items()
        }
        return signature_of(
            tuple(tensors),
            tuple(
                _tensor(shown, values[given], exact=False)
                for shown, given in zip(names, outputs, strict=True)
            ),
            sizes,
        )
    except (ProgramError, SignatureError, DimensionError) as error:
        raise ProgramError(f"{name}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ProgramError(
            f"{name} has no signature that this server can read ({type(error).__name__}: {error}); "
            "export the program with torch 2.6 or later"
        ) from error


def user_inputs(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the tensors that callers give, in `forward`'s order. Raises ProgramError for inputs that are none."""
    found = []
    for spec in specs:
        kind, value = only(spec)
        if kind == "user_input":
            argument, given = only(value["arg"])
            if argument != "as_tensor":
                raise ProgramError(
                    f"an input is no tensor ({argument}); export it as a tensor, or as a constant"
                )
            found.append(str(given["name"]))
        elif kind not in ("parameter", "buffer", "tensor_constant", "constant_input"):
            raise ProgramError(
                f"an input is of kind {kind}, which this server does not run; export without it"
            )
    return found


def user_outputs(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the tensors that the program returns. Raises ProgramError for other results and effects."""
    found = []
    for spec in specs:
        kind, value = only(spec)
        if kind != "user_output":
            raise ProgramError(
                f"the program changes its own state ({kind}); call eval() on the model before it is exported"
            )
        argument, given = only(value["arg"])
        if argument != "as_tensor":
            raise ProgramError(f"an output is no tensor ({argument}); return tensors alone")
        found.append(str(given["name"]))
    return found


def _tensor(name: str, meta: Mapping[str, Any], *, exact: bool) -> Tensor:
    datatype = SCALAR_TYPES.get(meta["dtype"])
    if datatype is None:
        raise ProgramError(
            f"tensor {name!r} has a datatype (number {meta['dtype']}) that the protocol lacks; "
            "convert it in the model, complex numbers to pairs of real ones"
        )
    return Tensor(
        name=name,
        datatype=datatype,
        dimensions=tuple(_dimension(name, size, exact=exact) for size in meta["sizes"]),
    )


def _dimension(name: str, size: Any, *, exact: bool) -> Dimension | None:
    try:
        return parse_size(size)
    except DimensionError as error:
        if exact:
            raise ProgramError(
                f"input {name!r} has a size that is not a multiple of one other ({error}); "
                "export it with one torch.export.Dim for each size"
            ) from error
        return ANY


def _ranges(constraints: Mapping[str, Any]) -> dict[str, tuple[int, int | None]]:
    found = {}
    for text, limits in constraints.items():
        try:
            dimension = parse_expression(text)
        except DimensionError:
            continue
        if dimension == Dimension(text, 1, 0):
            low, high = limits.get("min_val"), limits.get("max_val")
            found[text] = (
                max(1, low if isinstance(low, int) else 1),
                high if isinstance(high, int) and high < _UNBOUNDED else None,
            )
    return found


def _hints(metas: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The sizes of the example that the program was exported with."""
    found = {}
    for meta in metas:
        for size in meta["sizes"]:
            dimension = parse_size(size)
            hint = (size.get("as_expr") or {}).get("hint") or {}
            if dimension.symbol and isinstance(hint.get("as_int"), int):
                value = dimension.solve(hint["as_int"])
                if value is not None:
                    found[dimension.symbol] = value
    return found


def _within(value: int, low: int, high: int | None) -> int:
    return max(low, value if high is None else min(value, high))


def _output_names(module: Mapping[str, Any], count: int) -> list[str]:
    numbered = ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
    top = [entry for entry in module.get("module_call_graph", ()) if entry.get("fqn") == ""]
    if not top or not top[0].get("signature"):
        return numbered
    spec = json.loads(top[0]["signature"]["out_spec"])[1]
    if spec["type"] in ("builtins.dict", "collections.OrderedDict"):
        context = spec["context"]
        keys = json.loads(context) if isinstance(context, str) else context
        if len(keys) == count and all(isinstance(key, str) and key for key in keys):
            return list(keys)
    return numbered
