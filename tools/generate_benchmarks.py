"""Write docs/benchmarks/README.md and docs/images/benchmarks from the figures on the benches' pages; `--check` only compares.

Run by `make generate` as `python -m tools.generate_benchmarks`; tests/contract/test_benchmark_overview.py keeps both current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tools.benchmarks.figures import PAGES
from tools.benchmarks.overview import BENCHES, render
from tools.benchmarks.plots import PLOTS
from tools.generated_files import differing, write_or_compare

PAGE: Final = PAGES / "README.md"
IMAGES: Final = PAGES.parent / "images" / "benchmarks"


def files() -> dict[Path, str]:
    """Path to text of everything that is generated here. Raises LookupError where a page lacks what is quoted."""
    return {PAGE: render(BENCHES), **{IMAGES / name: draw() for name, draw in PLOTS.items()}}


def stale() -> list[Path]:
    """Files that are not what the pages say, or that are missing."""
    return differing(files())


def main() -> int:
    """Write, or with --check compare and exit 1 on a difference."""
    return write_or_compare(__doc__, files)


if __name__ == "__main__":
    sys.exit(main())
