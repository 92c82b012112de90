"""torch's own counter is read, and reading it never loads torch."""

from __future__ import annotations

import subprocess
import sys


def test_compilations_are_counted_as_they_happen() -> None:
    code = """
import sys
from atheria_server.engine.compilations import compilation_count
assert compilation_count() == 0
assert "torch" not in sys.modules
import torch
f = torch.compile(lambda x: x + 1, backend="eager", dynamic=False)
f(torch.zeros(2)); first = compilation_count()
f(torch.zeros(2)); assert compilation_count() == first
f(torch.zeros(3)); assert compilation_count() == first + 1 == 2
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
