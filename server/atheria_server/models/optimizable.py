"""What a LitAPI may offer so that it can be quantised, compiled and judged; written for authors of models.

Every method is optional, and runs in the worker after `setup`. Without them a LitAPI is served as it is written, and
what is asked for beyond that works on the `torch.nn.Module`s among its attributes (see each method's default).
`optimize` looks the methods up by name; a class need not inherit from anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from atheria_server.core.quality import Measurement
from atheria_server.models.contract import Arrays, WarmupCall

if TYPE_CHECKING:
    from torch import nn

F = TypeVar("F", bound=Callable[..., Any])


class Compile(Protocol):
    """Makes a function fast: one compiled form for each layout of its tensors and each value of its other arguments."""

    def __call__(self, function: F, *, name: str) -> F:
        """The compiled form, called like `function`. `name` is how logs and metrics call it.

        The arguments are tensors, numbers, booleans and texts; the result is tensors or tuples of them. `function` must be
        a pure function of its arguments and of weights that do not change.
        """


class Optimizable(Protocol):
    """The methods; any of them may be missing."""

    def modules(self) -> Mapping[str, nn.Module]:
        """The networks by name; their submodules may be replaced in place. Default: attributes that are modules."""

    def module_groups(self) -> Mapping[str, Sequence[str]]:
        """`encoder`, `backbone`, `head` -> patterns (fnmatch) of qualified names such as `law.hidden.0`.

        Default: the first Linear or convolution of each module is its encoder, the last its head, the rest its backbone.
        """

    def critical_layers(self) -> Sequence[str]:
        """Patterns (fnmatch) of qualified names that stay as they are where one precision is asked for throughout (`int8`, not
        `hierarchy`), because their error reaches the answer unmixed: what reads the input or writes the output. Default: none.
        """

    def compile_with(self, compiler: Compile) -> None:
        """Replace the functions that compute by compiled ones. Default: the `forward` of each of `modules()`."""

    def default_shapes(self) -> Sequence[tuple[int, ...]]:
        """Shapes of one row that `warmup_calls` takes where none are configured. Default: it does not say."""

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        """`count` or more rows of deterministic inputs on which variants are compared; `shapes` as in `warmup_calls`.

        Default: `warmup_calls`, and the requests of `warmup.requests`.
        """

    def compare(self, baseline: Sequence[Arrays], variant: Sequence[Arrays]) -> Sequence[Measurement]:
        """How far the outputs of `golden_calls` are from the baseline's, in the calls' order.

        Default: the relative error of each floating-point output, and the share of equal entries of every other.
        """
