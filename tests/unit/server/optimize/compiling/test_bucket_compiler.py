"""Every layout has a compiled form of its own; what runs without one is seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from atheria_contract.optimization import CompileConfig
from atheria_server.core.errors import InvalidCallError
from atheria_server.optimize.compiling import (
    BucketCompiler,
    CompileError,
    CompileUnavailableError,
    NotCompiledError,
    toolchain,
)

Build = Callable[..., BucketCompiler]
BUCKETS = 12
"""More than the 8 forms of one code object after which torch gives up compiling."""


def affine(x: Tensor, factor: float) -> Tensor:
    return x * factor + 1


def test_twelve_buckets_have_twelve_graphs_and_none_of_them_runs_eagerly(traced: Build) -> None:
    compiler = traced()
    function = compiler(affine, name="affine")
    for rows in range(1, BUCKETS + 1):
        function(torch.zeros(rows), 2.0)
    compiler.freeze()
    for rows in range(1, BUCKETS + 1):
        assert function(torch.ones(rows), 2.0).tolist() == [3.0] * rows
    found = compiler.statistics()
    assert found.graphs == BUCKETS
    assert (found.compilations_in_service, found.eager_fallbacks, found.recompiles) == (0, 0, 0)


def test_torch_alone_would_run_the_ninth_bucket_eagerly(traced: Build) -> None:
    """Why each form has a code object of its own; if this fails, torch has changed."""

    def ninth(x: Tensor, factor: float) -> Tensor:
        return x * factor + 1

    compiler = traced()
    alone = torch.compile(ninth, dynamic=False)
    compiler.freeze()
    with torch._dynamo.config.patch(recompile_limit=8), warnings.catch_warnings(action="ignore"):
        for rows in range(1, BUCKETS + 1):
            alone(torch.zeros(rows), 2.0)
    assert compiler.statistics().compilations_in_service == 8


def test_an_unknown_layout_after_the_warm_up_is_computed_eagerly_and_counted(traced: Build) -> None:
    compiler = traced()
    function = compiler(affine, name="affine")
    function(torch.zeros(2), 2.0)
    compiler.freeze()
    assert function(torch.ones(3), 2.0).tolist() == [3.0] * 3
    assert function(torch.ones(2), 5.0).tolist() == [6.0] * 2
    found = compiler.statistics()
    assert (found.eager_fallbacks, found.recompiles, found.compilations_in_service) == (2, 0, 0)


def test_an_unknown_layout_is_refused_in_words_where_that_is_asked_for(traced: Build) -> None:
    compiler = traced(on_miss="refuse")
    function = compiler(affine, name="affine")
    function(torch.zeros(2), 2.0)
    compiler.freeze()
    with pytest.raises(
        NotCompiledError, match=r"affine\(float32\[3\] on cpu, 2.0\).*not warmed up.*onMiss"
    ) as e:
        function(torch.zeros(3), 2.0)
    assert isinstance(e.value, InvalidCallError)
    assert compiler.statistics().eager_fallbacks == 1


def test_what_torch_would_compile_anew_is_computed_eagerly_and_counted(traced: Build) -> None:
    scale = {"factor": 2.0}

    def scaled(x: Tensor) -> Tensor:
        return x * scale["factor"]

    compiler = traced()
    function = compiler(scaled, name="scaled")
    function(torch.ones(2))
    compiler.freeze()
    scale["factor"] = 3.0
    assert function(torch.ones(2)).tolist() == [3.0, 3.0]
    found = compiler.statistics()
    assert (found.recompiles, found.eager_fallbacks, found.compilations_in_service) == (1, 1, 0)
    scale["factor"] = 2.0
    assert function(torch.ones(2)).tolist() == [2.0, 2.0]
    assert compiler.statistics().recompiles == 1


def test_a_compilation_of_other_code_in_service_is_counted(traced: Build) -> None:
    compiler = traced()
    compiler(affine, name="affine")(torch.zeros(2), 2.0)
    compiler.freeze()
    torch.compile(lambda x: x - 1)(torch.zeros(2))
    assert compiler.statistics().compilations_in_service == 1


def test_a_function_that_torch_does_not_compile_at_all_counts_as_eager(
    traced: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = traced()
    function = compiler(affine, name="affine")
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert function(torch.zeros(2), 2.0).tolist() == [1.0, 1.0]
    compiler.freeze()
    assert function(torch.zeros(2), 2.0).tolist() == [1.0, 1.0]
    found = compiler.statistics()
    assert (found.graphs, found.eager_fallbacks) == (0, 1)


def test_a_function_that_cannot_be_compiled_whole_is_an_error_that_says_what_to_do(traced: Build) -> None:
    def broken(x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return x + 1

    with pytest.raises(
        CompileError, match=r"broken\(float32\[2\] on cpu\) cannot be .*fullgraph: false.*mode: off"
    ):
        traced()(broken, name="broken")(torch.zeros(2))


def test_without_fullgraph_a_function_is_split_and_each_bucket_still_compiled(traced: Build) -> None:
    def part(x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return x * 2

    def broken(x: Tensor) -> Tensor:
        return part(x + 1) - 1

    compiler = traced(fullgraph=False)
    function = compiler(broken, name="broken")
    for rows in range(1, BUCKETS + 1):
        function(torch.zeros(rows))
    compiler.freeze()
    for rows in range(1, BUCKETS + 1):
        assert function(torch.ones(rows)).tolist() == [3.0] * rows
    found = compiler.statistics()
    assert found.graph_breaks > 0
    assert found.graphs >= 2 * BUCKETS
    assert (found.compilations_in_service, found.eager_fallbacks, found.recompiles) == (0, 0, 0)


def test_the_error_of_the_function_itself_is_not_taken_for_a_recompilation(traced: Build) -> None:
    def checked(x: Tensor) -> Tensor:
        torch._check(x.shape[0] < 3)
        return x + 1

    compiler = traced()
    function = compiler(checked, name="checked")
    function(torch.zeros(2))
    compiler.freeze()
    with pytest.raises(RuntimeError):
        function(torch.zeros(4))
    assert compiler.statistics().recompiles == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((torch.zeros(2, 2), 1), (torch.zeros(2, 2).t().contiguous().t(), 1)),
        ((torch.zeros(2), 1), (torch.zeros(2), True)),
        ((torch.zeros(2), 1), (torch.zeros(2, dtype=torch.float64), 1)),
        (((torch.zeros(2), torch.zeros(1)), 1), ((torch.zeros(2), torch.zeros(2)), 1)),
    ],
    ids=["strides", "int and bool", "dtype", "inside a tuple"],
)
def test_calls_that_torch_would_tell_apart_have_forms_of_their_own(
    traced: Build, first: tuple[Any, ...], second: tuple[Any, ...]
) -> None:
    def total(x: Any, n: int) -> Tensor:
        parts = x if isinstance(x, tuple) else (x,)
        return sum((part.sum() * n for part in parts), torch.zeros(()))

    compiler = traced()
    function = compiler(total, name="total")
    function(*first)
    function(*second)
    compiler.freeze()
    function(*first)
    function(*second)
    found = compiler.statistics()
    assert (found.graphs, found.recompiles, found.eager_fallbacks) == (2, 0, 0)


@pytest.mark.parametrize("mode", [True, False], ids=["in inference mode", "outside of it"])
def test_a_function_that_is_given_its_own_outputs_needs_one_form(traced: Build, mode: bool) -> None:
    compiler = traced()
    function = compiler(affine, name="affine")
    with torch.inference_mode(mode):
        x = torch.zeros(2)
        for _ in range(3):
            x = function(x, 2.0)
    assert compiler.statistics().graphs == 1
    assert not x.requires_grad


def test_tensors_of_both_modes_have_forms_of_their_own(traced: Build) -> None:
    compiler = traced()
    function = compiler(affine, name="affine")
    outside = torch.zeros(2)
    function(outside, 2.0)
    with torch.inference_mode():
        inside = function(torch.zeros(2), 2.0)
        function(outside, 2.0)
    assert compiler.statistics().graphs == 3
    compiler.freeze()
    function(outside, 2.0)
    with torch.inference_mode():
        function(inside, 2.0)
        function(outside, 2.0)
    found = compiler.statistics()
    assert (found.recompiles, found.eager_fallbacks) == (0, 0)


def test_what_is_compiled_again_while_warming_up_is_counted(traced: Build) -> None:
    scale = {"factor": 2.0}
    compiler = traced()
    function = compiler(lambda x: x * scale["factor"], name="scaled")
    function(torch.ones(2))
    scale["factor"] = 3.0
    function(torch.ones(2))
    assert compiler.statistics().graphs == 2


def test_hundreds_of_refused_recompilations_are_right_answers(traced: Build) -> None:
    scale = {"factor": 2.0}
    compiler = traced()
    function = compiler(lambda x: x * scale["factor"], name="scaled")
    function(torch.ones(1))
    compiler.freeze()
    scale["factor"] = 3.0
    for _ in range(300):
        assert function(torch.ones(1)).item() == 3.0
    assert compiler.statistics().recompiles == 300


def test_a_compiled_function_that_is_compiled_again_is_compiled_from_what_it_was(traced: Build) -> None:
    function = traced()(affine, name="affine")
    assert BucketCompiler(CompileConfig(mode="off"), "cpu")(function, name="affine") is affine


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "fast"}, ("compile.mode is 'fast'", "reduce-overhead")),
        ({"mode": "auto"}, ("compile.mode is 'auto'",)),
        ({"on_miss": "wait"}, ("compile.on_miss is 'wait'", "eager, refuse")),
        ({"mode": "aot"}, ("aot", "folder")),
    ],
)
def test_a_setting_that_does_not_exist_is_refused_with_what_is_allowed(
    options: dict[str, str], words: tuple[str, ...]
) -> None:
    with pytest.raises(CompileError) as error:
        BucketCompiler(CompileConfig(**options), "cpu")
    assert all(word in str(error.value) for word in words)


def test_an_image_without_a_compiler_is_named_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(toolchain, "cpp_compiler", lambda: None)
    with pytest.raises(
        CompileUnavailableError, match=r"'default'.*package g\+\+.*compile.mode: off.*mode aot"
    ):
        BucketCompiler(CompileConfig(mode="default"), "cpu")


def test_torch_says_itself_whether_it_finds_a_compiler() -> None:
    assert toolchain.cpp_compiler()
    search = torch._inductor.cpp_builder.cpp_compiler_search
    search.cache_clear()
    try:
        with torch._inductor.config.patch({"cpp.cxx": ("/nowhere/g++",)}):
            assert toolchain.cpp_compiler() is None
    finally:
        search.cache_clear()


def test_tensorrt_is_refused_on_a_cpu_with_what_to_use_instead() -> None:
    with pytest.raises(CompileUnavailableError, match=r"NVIDIA GPUs only.*default or aot"):
        BucketCompiler(CompileConfig(mode="tensorrt"), "cpu")


def test_tensorrt_is_refused_where_its_package_is_missing() -> None:
    with pytest.raises(CompileUnavailableError, match=r"torch_tensorrt is not installed.*reduce-overhead"):
        BucketCompiler(CompileConfig(mode="tensorrt"), "cuda")
