"""The folder `operator/` must never become a package: it would hide the standard library's `operator`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_operator_has_no_init_file() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_operator_from_the_repository_root_is_the_standard_library() -> None:
    code = "import operator; assert operator.add(1, 2) == 3"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
