"""The compiled functions of a model in its worker: made or fetched before it is ready, and watched while it serves.

Built by `optimize.pipeline`; `engine.worker` fills batches up to `row_buckets` and reports what ran uncompiled. Imports
torch only when it is built.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from atheria_contract.optimization import CompileConfig
from atheria_contract.serving import ServingConfig
from atheria_server.core.errors import COMPILE_FAILED, ModelRefusedError
from atheria_server.core.mode_choice import ModeChoice
from atheria_server.core.row_buckets import row_buckets
from atheria_server.core.steadiness import TOLERANCE, Steadiness, steadiness
from atheria_server.engine.phases import Phase, Progress
from atheria_server.models.contract import WarmupCall
from atheria_server.models.optimizable import Compile
from atheria_server.optimize import report
from atheria_server.optimize.loaded import LoadedModel

if TYPE_CHECKING:
    from atheria_server.optimize.variant import Variant
    from atheria_server.optimize.warm_up import BucketTime

AUTO: Final = "auto"
CHECKED_CALLS: Final = 5
"""Of each bucket at most, until one is as fast as the warm-up was."""


class Compiled:
    """Of one model; call `warm_up`, then `finish`, and `close` in every case."""

    def __init__(
        self, loaded: LoadedModel, config: ServingConfig, variant: Variant, *, progress: Progress
    ) -> None:
        """Fetch what another pod compiled, and give the model its compiler. Raises ModelRefusedError."""
        from atheria_server.optimize.compiling import BucketCompiler, CompileError
        from atheria_server.optimize.compiling.cache import CompileCache
        from atheria_server.optimize.compiling.facts import compile_facts

        self._loaded = loaded
        self._progress = progress
        self._shapes = variant.shapes
        self._forwards = {name: module.forward for name, module in variant.modules.items()}
        self._modules = variant.modules
        self._exit = ExitStack()
        self._times: Sequence[BucketTime] = ()
        self.steadiness = Steadiness(passed=True, ratio=1.0, bucket="")
        """Whether calls after the warm-up take what the warm-up measured."""
        largest = config.max_batch_size if loaded.described else int(loaded.api.max_batch_size)
        configured = [rows for rows in config.compile.row_buckets if rows <= largest]
        self.row_buckets = row_buckets(configured, largest)
        """Ascending; batches are filled up to the next."""
        facts = compile_facts(
            model_digest=variant.weights_digest,
            code_digest=variant.code_digest,
            device=loaded.device,
            mode=config.compile.mode,
            precision=repr(variant.precision),
            row_buckets=self.row_buckets,
            shapes=self._shapes,
        )
        try:
            self._cache = self._exit.enter_context(
                CompileCache(
                    config.cache,
                    facts,
                    wait_seconds=config.compile.wait_seconds,
                    progress=lambda text: progress(Phase(name="waiting", detail=text)),
                )
            )
            began = time.perf_counter()
            self.choice = self._choose(config.compile)
            """What `compile.mode` comes to."""
            self._choice_seconds = time.perf_counter() - began
            self._compiler = BucketCompiler(
                replace(config.compile, mode=self.choice.mode),
                loaded.device,
                directory=self._cache.directory / "packages",
            )
        except CompileError as error:
            self.close()
            raise ModelRefusedError(COMPILE_FAILED, str(error)) from error
        except BaseException:
            self.close()
            raise
        self._attach(self._compiler)
        if self.choice.mode == report.OFF:
            self.row_buckets = ()

    @property
    def mode(self) -> str:
        """Never `auto`."""
        return self.choice.mode

    def warm_up(self, requests: Sequence[WarmupCall]) -> list[dict[str, Any]]:
        """Compute every bucket, and each sample request at every batch size that a plain LitAPI may get.

        Gives shape, rows, seconds of the first call and of later ones. Raises ModelRefusedError.
        """
        from atheria_server.optimize.compiling import CompileError
        from atheria_server.optimize.warm_up import warm

        try:
            if not self._loaded.described:
                return self._warm_requests(requests)
            times = warm(
                self._loaded,
                self._shapes,
                self.row_buckets or (1,),
                clock=time.perf_counter,
                progress=self._told("compiling"),
            )
            for request in requests:
                self._loaded.compute(request)
        except CompileError as error:
            raise ModelRefusedError(COMPILE_FAILED, str(error)) from error
        self._times = times
        return [asdict(one) for one in times]

    def finish(self) -> None:
        """The model is warm: compile nothing more, see whether that holds, and publish what was compiled."""
        self._compiler.freeze()
        self.steadiness = self._check()
        self._cache.finish(self._compiler.statistics().compile_seconds + self._choice_seconds)

    def close(self) -> None:
        """Let other pods compile the same."""
        self._exit.close()

    def eager_fallbacks(self) -> int:
        """Functions computed without their compiled form since `finish`."""
        return int(self._compiler.statistics().eager_fallbacks)

    def section(self) -> dict[str, Any]:
        """The report's section on compilation."""
        found, cache = self._compiler.statistics(), self._cache.report
        return report.compile_section(
            self.mode,
            cache=cache.state,
            why="; ".join(text for text in (self.choice.why, cache.why) if text),
            row_limit=self.choice.row_limit,
            graphs=found.graphs,
            seconds=found.compile_seconds,
            saved_seconds=cache.saved_seconds,
        )

    def _choose(self, wanted: CompileConfig) -> ModeChoice:
        """Raises CompileError, and ModelRefusedError where nothing can be measured."""
        if wanted.mode != AUTO:
            return ModeChoice(mode=wanted.mode, row_limit=0, why="")
        if not self._loaded.described:
            raise ModelRefusedError(
                COMPILE_FAILED,
                "compile.mode is 'auto', which measures the shapes that a LitAPI declares, and this one declares none; "
                "use compile.mode: default",
            )
        from atheria_server.optimize.compiling.choose import choose_mode

        return choose_mode(
            self._loaded,
            wanted,
            attach=self._attach,
            shapes=self._shapes,
            row_buckets=self.row_buckets,
            directory=self._cache.directory,
            clock=time.perf_counter,
            progress=self._told("choosing the mode"),
        )

    def _attach(self, compiler: Compile) -> None:
        """Any number of times; the last one counts."""
        own = getattr(self._loaded.api, "compile_with", None)
        if callable(own):
            own(compiler)
            return
        for name, forward in self._forwards.items():
            self._modules[name].forward = compiler(forward, name=name)

    def _told(self, name: str) -> Callable[[int, int, str], None]:
        return lambda done, total, detail: self._progress(
            Phase(name=name, done=done, total=total, detail=detail)
        )

    def _check(self) -> Steadiness:
        """Call every bucket as a caller would, now that nothing is compiled any more."""
        found = []
        for time_ in self._times:
            call = self._loaded.api.warmup_calls([time_.shape] if time_.shape else [], time_.rows)[0]
            calls: list[float] = []
            # Another process may have had the processor: a slow call counts only if those after it are slow, too.
            while len(calls) < CHECKED_CALLS and not (calls and calls[-1] <= TOLERANCE * time_.run_seconds):
                began = time.perf_counter()
                self._loaded.compute(call)
                calls.append(time.perf_counter() - began)
            found.append((f"{list(time_.shape)} x {time_.rows}", time_.run_seconds, calls))
        return steadiness(found)

    def _warm_requests(self, requests: Sequence[WarmupCall]) -> list[dict[str, Any]]:
        calls = [(request, rows) for request in requests for rows in self.row_buckets]
        found = []
        for done, (request, rows) in enumerate(calls):
            self._progress(
                Phase(
                    name="compiling", done=done, total=len(calls), detail=f"sample request, {rows} together"
                )
            )
            began = time.perf_counter()
            self._loaded.compute(request, copies=rows)
            first, began = time.perf_counter() - began, time.perf_counter()
            self._loaded.compute(request, copies=rows)
            later = time.perf_counter() - began
            found.append({"shape": [], "rows": rows, "compile_seconds": first, "run_seconds": later})
        return found
