"""Mode `aot`: functions exported and compiled to packages (AOTInductor), which later starts load without compiling.

A package is a file with a shared library and the weights: it needs no compiler, and loads in about a second. The files
lie in the folder that `CompileCache` publishes. Called by `BucketCompiler`. Imports torch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._inductor import aoti_compile_and_package, aoti_load_package

Function = Callable[..., Any]


def package_path(directory: Path, name: str, key: Hashable) -> Path:
    """Where the package of a function's form lies; equal for equal layouts in every process."""
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    return directory / f"{safe}-{digest}.pt2"


def compiled_ahead(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], package: Path
) -> tuple[Function, bool]:
    """The loaded package, and whether it had to be compiled."""
    made = not package.exists()
    if made:
        package.parent.mkdir(parents=True, exist_ok=True)
        # Exported for the values of these arguments: everything that is not a tensor becomes part of the package.
        with torch.no_grad():
            program = torch.export.export(_AsModule(function), args, kwargs, strict=False)
        # Under another name first: a process that ends while it writes leaves no half of a package. The name must end so.
        unfinished = package.with_name(f"unfinished-{package.name}")
        aoti_compile_and_package(program, package_path=str(unfinished))
        os.replace(unfinished, package)  # noqa: PTH105 - atomic
    return aoti_load_package(str(package)), made


class _AsModule(nn.Module):
    """Export takes modules; the weights that the function holds become constants of the program."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The function."""
        return self._function(*args, **kwargs)
