"""From a program's JSON to a `torch.fx.GraphModule`, node by node, by an importer of our own.

`torch.export.load` is not used: it unpickles what it finds (weights that are marked so, example inputs, objects),
evaluates size expressions and guards as Python, imports modules that the file names, and looks node targets up anywhere
below `torch`. Here a node can only be an operator of `torch.ops.aten` or one of `_FUNCTIONS`, called with numbers, texts
and tensors; every name in the generated code is made here or is a plain identifier. Worker only.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from atheria_server.models.torch_program.archive import ProgramError, only
from atheria_server.models.torch_program.layers import make_layer, place, uses
from atheria_server.models.torch_program.program_signature import user_inputs, user_outputs

_ATEN: Final = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_REFUSED: Final = ("from_file", "set_", "set_data", "record_stream", "resize_", "_resize_output_")
"""Operators that reach files, streams of others, or memory that is not theirs."""
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "neg"),
            *("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_"),
        )
    },
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    **{f"torch.sym_{name}": getattr(torch, f"sym_{name}") for name in ("float", "int", "max", "min", "not")},
}
_DTYPES: Final = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    9: torch.complex32,
    10: torch.complex64,
    11: torch.complex128,
    12: torch.bool,
    13: torch.bfloat16,
    28: torch.uint16,
    34: torch.uint32,
    35: torch.uint64,
}
_LAYOUTS: Final = {7: torch.strided}
_MEMORY_FORMATS: Final = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_LAYERS: Final = "layers"
"""Where the module holds everything that has a name of the file's."""
_ASSERTIONS: Final = ("torch.ops.aten._assert_tensor_metadata.default",)
"""About the device and types at export, which this server chooses and checks by itself."""


def torch_dtype(number: Any) -> torch.dtype:
    """Of a file's number for a datatype. Raises ProgramError."""
    if number not in _DTYPES:
        raise ProgramError(
            f"a datatype (number {number!r}) is not known to this server; convert it in the model"
        )
    return _DTYPES[number]


def build(program: Mapping[str, Any], tensors: Mapping[str, Tensor], device: str) -> fx.GraphModule:
    """Takes and gives tensors in the order of the program's user inputs and outputs.

    Its Linear and convolution layers are modules again, `layers.` and their names in the model that was exported.
    `tensors` are its parameters, buffers and constants by their names in the file; the module holds those that it uses,
    as they are. Constants that it makes itself are made on `device`. Raises ProgramError.
    """
    try:
        return _Importer(program, tensors, device).module()
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
        if isinstance(error, ProgramError):
            raise
        raise ProgramError(
            f"the program cannot be read ({type(error).__name__}: {error}); export it with torch 2.6 or later"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """A weight, buffer or constant of the file."""

    index: int
    name: str
    tensor: Tensor


class _Importer:
    def __init__(self, program: Mapping[str, Any], tensors: Mapping[str, Tensor], device: str) -> None:
        self._module = program["graph_module"]
        self._tensors = tensors
        self._device = device
        self._graph = fx.Graph()
        self._values: dict[str, Any] = {}
        """By the names in the file: nodes of the new graph, or constants."""
        self._held: dict[str, _Held] = {}
        """By the names in the file: weights; they become part of the module where they are used."""
        self._uses = uses(self._module["graph"]["nodes"])
        self._layers = nn.Module()
        self._root = nn.Module()
        self._root.add_module(_LAYERS, self._layers)

    def module(self) -> fx.GraphModule:
        specs = self._module["signature"]
        # placeholders come first in a graph
        for index, name in enumerate(user_inputs(specs["input_specs"])):
            self._values[name] = self._graph.placeholder(f"input_{index}")
        for index, spec in enumerate(specs["input_specs"]):
            self._input(index, *only(spec))
        for node in self._module["graph"]["nodes"]:
            self._node(node)
        self._graph.output(tuple(self._value(name) for name in user_outputs(specs["output_specs"])))
        self._graph.lint()
        return fx.GraphModule(self._root, self._graph).eval()

    def _input(self, index: int, kind: str, spec: Mapping[str, Any]) -> None:
        if kind == "user_input":
            return
        if kind == "constant_input":
            constant, value = only(spec["value"])
            self._values[spec["name"]] = None if constant == "as_none" else value
            return
        key = {"parameter": "parameter_name", "buffer": "buffer_name"}.get(kind, "tensor_constant_name")
        name = str(spec[key])
        if name not in self._tensors:
            raise ProgramError(f"the file lacks the weights {name!r}; export the program again")
        tensor = self._tensors[name]
        if kind == "parameter":
            tensor = nn.Parameter(tensor, requires_grad=False)
        self._held[spec["arg"]["name"]] = _Held(index=index, name=name, tensor=tensor)

    def _node(self, node: Mapping[str, Any]) -> None:
        target = node["target"]
        if target in _ASSERTIONS:
            return
        if layer := self._layer(node):
            self._outputs(layer, node["outputs"])
            return
        given = [(entry["name"], self._argument(entry["arg"])) for entry in node["inputs"]]
        if target in _FUNCTIONS:
            made = self._graph.call_function(_FUNCTIONS[target], tuple(value for _, value in given))
        else:
            overload = _overload(target)
            _check_mode(overload, dict(given))
            args, kwargs = _placed(overload, dict(given))
            made = self._graph.call_function(overload, args, kwargs)
        self._outputs(made, node["outputs"])

    def _layer(self, node: Mapping[str, Any]) -> fx.Node | None:
        """A call of the layer that the operation was, if it is one and shares its weights with nothing."""
        raw = {entry["name"]: entry["arg"] for entry in node["inputs"]}
        held = {name: self._own(raw[name]) for name in ("weight", "bias") if name in raw}
        weight, bias = held.get("weight"), held.get("bias")
        if weight is None or (bias is None and "bias" in raw and only(raw["bias"])[0] != "as_none"):
            return None
        path = weight.name.removesuffix(".weight")
        if path == weight.name or (bias is not None and bias.name != f"{path}.bias"):
            return None
        given = {name: self._argument(arg) for name, arg in raw.items() if name not in ("weight", "bias")}
        made = make_layer(
            node["target"],
            given,
            cast("nn.Parameter", weight.tensor),
            None if bias is None else cast("nn.Parameter", bias.tensor),
        )
        if made is None or not isinstance(given.get("input"), fx.Node) or not place(self._layers, path, made):
            return None
        return self._graph.call_module(f"{_LAYERS}.{path}", (given["input"],))

    def _own(self, argument: Mapping[str, Any]) -> _Held | None:
        kind, value = only(argument)
        held = self._held.get(value["name"]) if kind == "as_tensor" else None
        is_own = held is not None and isinstance(held.tensor, nn.Parameter) and self._uses[value["name"]] == 1
        return held if is_own else None

    def _outputs(self, made: fx.Node, outputs: Sequence[Mapping[str, Any]]) -> None:
        kinds = [only(output) for output in outputs]
        if len(kinds) == 1:
            self._bind(made, *kinds[0])
            return
        for index, (kind, value) in enumerate(kinds):
            if kind != "as_none":
                self._bind(self._graph.call_function(operator.getitem, (made, index)), kind, value)

    def _bind(self, made: fx.Node, kind: str, value: Any) -> None:
        if kind == "as_tensors":
            for index, entry in enumerate(value):
                self._values[entry["name"]] = self._graph.call_function(operator.getitem, (made, index))
        elif kind == "as_tensor":
            self._values[value["name"]] = made
        elif kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
            self._values[value["as_name"]] = made
        elif kind != "as_none":
            raise ProgramError(f"an operation gives {kind}, which this server does not know")

    def _argument(self, argument: Mapping[str, Any]) -> Any:
        kind, value = only(argument)
        if kind in _PLAIN:
            return _PLAIN[kind](value)
        match kind:
            case "as_tensor":
                return self._value(value["name"])
            case "as_tensors":
                return [self._value(entry["name"]) for entry in value]
            case "as_nested_tensors":
                return [[self._value(entry["name"]) for entry in row] for row in value]
            case "as_optional_tensor":
                return self._argument(value)
            case "as_optional_tensors" | "as_sym_ints" | "as_sym_bools" | "as_sym_floats":
                return [self._entry(entry) for entry in value]
            case "as_sym_int" | "as_sym_bool" | "as_sym_float":
                return self._entry(value)
            case "as_device":
                return torch.device(self._device)
        raise ProgramError(
            f"an operation takes {kind}, which this server does not run "
            "(a branch, a loop, a custom object, torch.no_grad() inside of forward); export without it; "
            "`.run_decompositions({})` removes torch.no_grad()"
        )

    def _entry(self, entry: Mapping[str, Any]) -> Any:
        kind, value = only(entry)
        return self._value(value) if kind == "as_name" else self._argument(entry)

    def _value(self, name: str) -> Any:
        if name not in self._values and name in self._held:
            self._values[name] = self._fetched(self._held[name])
        if name not in self._values:
            raise ProgramError(f"an operation uses {name!r} before it is computed; export the program again")
        return self._values[name]

    def _fetched(self, held: _Held) -> fx.Node:
        path = held.name if place(self._layers, held.name, held.tensor) else f"tensor_{held.index}"
        if path != held.name:
            place(self._layers, path, held.tensor)
        return self._graph.get_attr(f"{_LAYERS}.{path}")


def _overload(target: Any) -> OpOverload:
    found = _ATEN.fullmatch(target) if isinstance(target, str) else None
    if found is None or found[1] in _REFUSED:
        raise ProgramError(
            f"the program calls {str(target)[:100]!r}, which this server does not run; allowed are operators of "
            "torch.ops.aten: export with `.run_decompositions({})`, or serve the model as a python:// LitAPI"
        )
    overload = getattr(getattr(torch.ops.aten, found[1], None), found[2], None)
    if not isinstance(overload, OpOverload):
        raise ProgramError(
            f"this server's torch {torch.__version__} has no {target}; export with the version that serves"
        )
    return overload


def _placed(overload: OpOverload, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """By position as far as nothing is left out, then by name."""
    args: list[Any] = []
    arguments = overload._schema.arguments  # noqa: SLF001 - there is no public way to it
    for argument in arguments:
        if argument.kwarg_only or argument.name not in given:
            break
        args.append(given.pop(argument.name))
    known = {argument.name for argument in arguments}
    if unknown := sorted(set(given) - known):
        raise ProgramError(f"{overload} takes no {unknown[0]!r}; export the program again")
    return tuple(args), given


def _check_mode(overload: OpOverload, given: Mapping[str, Any]) -> None:
    """Rows must not depend on each other or on chance, and weights must stay as they are."""
    for argument in overload._schema.arguments:  # noqa: SLF001 - as above
        value = given.get(argument.name)
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        if (argument.name in ("training", "train") and value is True) or (
            is_written and isinstance(value, fx.Node) and value.op == "get_attr"
        ):
            raise ProgramError(
                f"the program was exported in training mode ({overload}); call eval() on the module before"
            )


def _enumerated(values: Mapping[int, Any]) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if value not in values:
            raise ProgramError(f"the program holds the number {value!r}, which stands for nothing here")
        return values[value]

    return convert


def _exact(*kinds: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, kinds):
            raise ProgramError(f"the program holds {str(value)[:50]!r} in place of {kinds[0].__name__}")
        return value

    return convert


def _float(value: Any) -> float:
    """JSON has no infinities: they are texts."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ProgramError(f"the program holds {str(value)[:50]!r} in place of a number")
    return float(value)


def _each(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: [convert(value) for value in _exact(list)(values)]


_PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    "as_none": lambda _: None,
    "as_int": _exact(int),
    "as_ints": _each(_exact(int)),
    "as_int_lists": _each(_each(_exact(int))),
    "as_float": _float,
    "as_floats": _each(_float),
    "as_bool": _exact(bool),
    "as_bools": _each(_exact(bool)),
    "as_string": _exact(str),
    "as_strings": _each(_exact(str)),
    "as_complex": lambda value: complex(_float(value["real"]), _float(value["imag"])),
    "as_scalar_type": torch_dtype,
    "as_layout": _enumerated(_LAYOUTS),
    "as_memory_format": _enumerated(_MEMORY_FORMATS),
}
"""Arguments that are what they say."""
