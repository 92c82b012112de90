"""One compiled callable per bucket, and no silent way around it: the `models.optimizable.Compile` that models are given.

For each layout of its arguments a function gets a compiled form of its own, made when the layout is first called. After
`freeze` nothing is compiled any more: what is not there, or what torch would compile anew, is computed as it is written
and counted, or refused. Built by the pipeline, or by whoever wants to compile a model. Imports torch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import torch

from atheria_contract.optimization import COMPILE_MODES, ON_MISS, CompileConfig
from atheria_server.optimize.compiling import aot, dynamo, modes
from atheria_server.optimize.compiling.errors import CompileError, NotCompiledError
from atheria_server.optimize.compiling.layout import described, layout_of
from atheria_server.optimize.compiling.statistics import CompileStatistics
from atheria_server.optimize.compiling.toolchain import require_toolchain

_LOG = logging.getLogger("atheria.compile")
F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any]
OFF: Final = "off"
AUTO: Final = "auto"
_WRITTEN: Final = "atheria_written"
"""Of a compiled form: the function that it was made of."""
LOGGED: Final = 20
"""Lines about fallbacks in the log; their number is in the metrics."""


@dataclass(slots=True, kw_only=True)
class _Form:
    """A function for one layout."""

    call: Function
    watched: bool
    """Torch checks at each call whether what it compiled still holds; a package does not."""


class BucketCompiler:
    """Compiles what it is given, by layout; see the module's text."""

    def __init__(
        self,
        config: CompileConfig,
        device: str,
        *,
        directory: Path | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`directory` is for the packages of mode aot. Raises CompileError, and CompileUnavailableError where this
        machine cannot compile.

        Mode `off` leaves functions as they are; `auto` is decided by `choose_mode` before.
        """
        _check(config)
        if config.mode == "aot" and directory is None:
            raise CompileError("compile.mode aot needs a folder for its packages; none was given")
        self._config = config
        self._device = device
        self._directory = directory
        self._clock = clock
        self._frozen = False
        self._graphs = self._graph_breaks = 0
        self._seconds = 0.0
        self._graphs_at_freeze = 0
        self._eager_fallbacks = self._recompiles = 0
        # Packages that another pod made need no compiler here: whether one is missing turns out at the first call.
        if config.mode not in (OFF, "aot"):
            require_toolchain(config.mode, device)
        dynamo.never_give_up()

    def __call__(self, function: F, *, name: str) -> F:
        """The compiled form of `function`, to be called like it; of one that is compiled already, from what it was."""
        function = getattr(function, _WRITTEN, function)
        if self._config.mode == OFF:
            return function
        forms: dict[Hashable, _Form | None] = {}

        def dispatch(*args: Any, **kwargs: Any) -> Any:
            key = layout_of(args, kwargs)
            with torch.no_grad():
                form = forms.get(key)
                if form is not None:
                    return self._run(form, function, name, key, args, kwargs)
                if self._frozen:
                    return self._miss(function, name, key, args, kwargs)
                if key in forms:
                    return function(*args, **kwargs)
                return self._first(function, name, key, forms, args, kwargs)

        dispatch.__name__ = dispatch.__qualname__ = name
        setattr(dispatch, _WRITTEN, function)
        return cast("F", dispatch)

    def freeze(self) -> None:
        """The warm-up is over: from now on nothing is compiled, and everything that would be is counted."""
        if self._frozen:
            return
        self._frozen = True
        self._graphs_at_freeze = dynamo.graph_count()
        dynamo.listen()
        _end_compile_workers()

    def statistics(self) -> CompileStatistics:
        """Until now."""
        return CompileStatistics(
            graphs=self._graphs,
            compile_seconds=self._seconds,
            compilations_in_service=dynamo.graph_count() - self._graphs_at_freeze if self._frozen else 0,
            eager_fallbacks=self._eager_fallbacks,
            recompiles=self._recompiles,
            graph_breaks=self._graph_breaks,
        )

    def _first(
        self,
        function: Function,
        name: str,
        key: Hashable,
        forms: dict[Hashable, _Form | None],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Compile for this layout, and compute."""
        began, graphs, breaks = self._clock(), dynamo.graph_count(), dynamo.graph_break_count()
        try:
            if self._config.mode == "aot":
                form, made = self._package(function, name, key, args, kwargs)
                self._graphs += made
            else:
                compiled = modes.compiled_by_torch(
                    function,
                    self._config.mode,
                    name=f"{name}_{len(forms)}",
                    fullgraph=self._config.fullgraph,
                    device=self._device,
                )
                form = _Form(call=compiled, watched=True)
            result = form.call(*args, **kwargs)
        except (CompileError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise CompileError(self._cannot(name, key, error)) from error
        seconds = self._clock() - began
        made_graphs = dynamo.graph_count() - graphs
        forms[key] = form
        if form.watched and made_graphs == 0:
            # What torch ran as it is written was not compiled, whatever it says.
            forms[key] = None
            _LOG.warning(
                "event=not_compiled function=%s layout=%r reason='torch made no graph; is it switched off by "
                "TORCHDYNAMO_DISABLE or TORCH_COMPILE_DISABLE?'",
                name,
                described(key),
            )
        self._graphs += made_graphs
        self._graph_breaks += dynamo.graph_break_count() - breaks
        self._seconds += seconds
        _LOG.info("event=compiled function=%s layout=%r seconds=%.2f", name, described(key), seconds)
        return result

    def _package(
        self, function: Function, name: str, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[_Form, bool]:
        assert self._directory is not None  # noqa: S101 - checked when it was built
        package = aot.package_path(self._directory, name, key)
        if not package.exists():
            require_toolchain(self._config.mode, self._device)
        call, made = aot.compiled_ahead(function, args, kwargs, package)
        return _Form(call=call, watched=False), made

    def _run(
        self,
        form: _Form,
        function: Function,
        name: str,
        key: Hashable,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        if not form.watched:
            return form.call(*args, **kwargs)
        if not self._frozen:
            return self._while_warming(form, name, key, args, kwargs)
        dynamo.forbid()
        try:
            result = form.call(*args, **kwargs)
        except BaseException as error:
            # Also for an interruption: compiling stays forbidden otherwise.
            if not dynamo.allow() or not isinstance(error, Exception):
                raise
        else:
            if not dynamo.allow():
                return result
        # A refusal that torch swallowed counts too: then it computed the call as it is written.
        self._recompiles += 1
        return self._miss(function, name, key, args, kwargs, why="torch would compile it anew")

    def _while_warming(
        self, form: _Form, name: str, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Torch may compile anew for a reason that is not in the layout: in service it would not be allowed to."""
        graphs = dynamo.graph_count()
        result = form.call(*args, **kwargs)
        if more := dynamo.graph_count() - graphs:
            self._graphs += more
            _LOG.warning("event=compiled_again function=%s layout=%r", name, described(key))
        return result

    def _miss(
        self,
        function: Function,
        name: str,
        key: Hashable,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        why: str = "this layout was not warmed up",
    ) -> Any:
        self._eager_fallbacks += 1
        if self._config.on_miss == "refuse":
            raise NotCompiledError(
                f"nothing is compiled for {name}({described(key)}): {why}; send a shape that the server warms up, "
                "or let it have compile.onMiss: eager"
            )
        if self._eager_fallbacks <= LOGGED:
            _LOG.warning(
                "event=eager_fallback function=%s layout=%r reason=%r%s",
                name,
                described(key),
                why,
                " note='further ones are only counted'" if self._eager_fallbacks == LOGGED else "",
            )
        return function(*args, **kwargs)

    def _cannot(self, name: str, key: Hashable, error: Exception) -> str:
        lines = str(error).strip().splitlines() or [""]
        other = "compile.fullgraph: false to let torch split it, " if self._config.fullgraph else ""
        return (
            f"{name}({described(key)}) cannot be compiled in mode {self._config.mode}: "
            f"{type(error).__name__}: {lines[0]}; change the function, or use {other}or compile.mode: off"
        )


def _check(config: CompileConfig) -> None:
    for field, value, allowed in (
        ("mode", config.mode, tuple(mode for mode in COMPILE_MODES if mode != AUTO)),
        ("on_miss", config.on_miss, ON_MISS),
    ):
        if value not in allowed:
            raise CompileError(f"compile.{field} is {value!r}; allowed: {', '.join(allowed)}")


def _end_compile_workers() -> None:
    """Torch keeps processes that compile; they are of no more use, and hold memory."""
    from torch._inductor import async_compile

    end = getattr(async_compile, "shutdown_compile_workers", None)
    if end is not None:
        end()
