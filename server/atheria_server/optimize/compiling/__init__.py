"""Compiled functions by bucket, and compiled code as an object that later pods use again.

`BucketCompiler` compiles, `CompileCache` keeps, `choose_mode` decides what pays. Imports torch.
"""

from __future__ import annotations

from atheria_server.optimize.compiling.blocks import compile_blocks
from atheria_server.optimize.compiling.bucket_compiler import BucketCompiler
from atheria_server.optimize.compiling.cache import CacheReport, CompileCache
from atheria_server.optimize.compiling.choose import choose_mode
from atheria_server.optimize.compiling.errors import CompileError, CompileUnavailableError, NotCompiledError
from atheria_server.optimize.compiling.facts import compile_facts
from atheria_server.optimize.compiling.statistics import CompileStatistics

__all__ = [
    "BucketCompiler",
    "CacheReport",
    "CompileCache",
    "CompileError",
    "CompileStatistics",
    "CompileUnavailableError",
    "NotCompiledError",
    "choose_mode",
    "compile_blocks",
    "compile_facts",
]
