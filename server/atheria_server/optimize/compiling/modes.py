"""One compiled callable for one layout of arguments, by mode. Called by `BucketCompiler`. Imports torch.

Nothing here was measured on a GPU yet: the parts for CUDA follow torch's documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Function = Callable[..., Any]


def with_own_code(function: Function, name: str) -> Function:
    """A function that calls `function`, whose code object no other function has.

    Torch keeps compiled forms by code object, at most 8 of each.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    own = FunctionType(
        call.__code__.replace(co_name=name), globals(), name, call.__defaults__, call.__closure__
    )
    own.__qualname__ = name
    return own


def compiled_by_torch(function: Function, mode: str, *, name: str, fullgraph: bool, device: str) -> Function:
    """`function` under torch.compile: modes default, reduce-overhead, max-autotune and tensorrt.

    On the CPU there are no CUDA graphs: reduce-overhead is default there.
    """
    on_cuda = device.startswith("cuda")
    own = with_own_code(function, name)
    if mode == "tensorrt":
        import torch_tensorrt  # type: ignore[import-not-found]  # noqa: F401 - registers the backend

        return torch.compile(own, backend="torch_tensorrt", dynamic=False, fullgraph=fullgraph)
    if mode == "default" or (mode == "reduce-overhead" and not on_cuda):
        return torch.compile(own, dynamic=False, fullgraph=fullgraph)
    compiled = torch.compile(own, mode=mode, dynamic=False, fullgraph=fullgraph)
    return _out_of_the_pool(compiled) if on_cuda else compiled


def _out_of_the_pool(compiled: Function) -> Function:
    """The outputs of a CUDA graph live in its memory, and the next run writes there: hand out copies."""

    def call(*args: Any, **kwargs: Any) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return pytree.tree_map_only(Tensor, Tensor.clone, compiled(*args, **kwargs))

    return call
