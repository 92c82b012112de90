"""Can this machine compile at all? Asked before a model is loaded far enough to find out the slow way.

Called by `BucketCompiler` when it is built. Imports torch.
"""

from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path

from atheria_server.optimize.compiling.errors import CompileUnavailableError

_ALTERNATIVES = "or use compile.mode: off"


def require_toolchain(mode: str, device: str) -> None:
    """Raise CompileUnavailableError unless `mode` can compile for `device` here."""
    on_cuda = device.startswith("cuda")
    if mode == "tensorrt":
        _require_tensorrt(on_cuda=on_cuda)
        return
    if on_cuda and importlib.util.find_spec("triton") is None:
        raise CompileUnavailableError(
            f"compile.mode is {mode!r}, which needs package triton on a GPU, and it is not installed; "
            f"install triton, {_ALTERNATIVES}"
        )
    if missing := _missing_packages():
        raise CompileUnavailableError(
            f"compile.mode is {mode!r}, but this image lacks what torch compiles with: {', '.join(missing)}; "
            f"add {'it' if len(missing) == 1 else 'them'} to the image, {_ALTERNATIVES}"
            + (", or mode aot with a cache that another pod has filled" if mode != "aot" else "")
        )


def cpp_compiler() -> str | None:
    """The C++ compiler that torch would call, or None."""
    from torch._inductor import cpp_builder, exc

    try:
        found: str = cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return None
    return found


def _missing_packages() -> list[str]:
    """Names as Debian gives them."""
    missing = [] if cpp_compiler() else ["a C++ compiler (package g++)"]
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        missing.append("Python's headers (package python3-dev)")
    return missing


def _require_tensorrt(*, on_cuda: bool) -> None:
    if not on_cuda:
        raise CompileUnavailableError(
            "compile.mode is 'tensorrt', which runs on NVIDIA GPUs only, and this device is the CPU; "
            "use compile.mode: default or aot"
        )
    if importlib.util.find_spec("torch_tensorrt") is None:
        raise CompileUnavailableError(
            "compile.mode is 'tensorrt', but package torch_tensorrt is not installed; "
            "install it in the image, or use compile.mode: reduce-overhead"
        )
