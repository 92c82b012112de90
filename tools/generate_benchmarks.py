"""Write docs/benchmarks/README.md and docs/images/benchmarks from the figures on the benches' pages; `--check` only compares.

Run by `make generate`; tests/contract/test_generated_files.py keeps both current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tools.benchmarks.figures import PAGES
from tools.benchmarks.overview import BENCHES, render
from tools.benchmarks.plots import PLOTS
from tools.generated_files import Generated

PAGE: Final = PAGES / "README.md"
IMAGES: Final = PAGES.parent / "images" / "benchmarks"


def files() -> dict[Path, str]:
    """Path to text of everything that is generated here. Raises LookupError where a page lacks what is quoted."""
    return {PAGE: render(BENCHES), **{IMAGES / name: draw() for name, draw in PLOTS.items()}}


GENERATED: Final = Generated(description=__doc__, files=files, alone_in=((IMAGES, "*.svg"),))


if __name__ == "__main__":
    sys.exit(GENERATED.run())
