"""Write everything that is generated in the repository; `--check` only compares. Run by `make generate` and `make check`.

`python -m tools.generate NAME…` runs some; each is also a command of its own, `python -m tools.generate_NAME`. The stubs are not among
them: `make generate` makes them before, since the others import them.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Final

from tools.generated_files import Generated, run_all

NAMES: Final = (
    *("crds", "reference", "values", "cli", "metrics", "alerts", "benchmarks", "dashboards"),
    # Last: Helm reads what the others have written.
    "manifests",
)
"""In this order."""


def generator(name: str) -> Generated:
    """One of NAMES; imported only now, since each needs other packages."""
    found: Generated = import_module(f"tools.generate_{name}").GENERATED
    return found


def main() -> int:
    """Write, or with --check compare and return 1 on a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--check", action="store_true", help="compare only")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"there is no generator {unknown[0]!r}; there are {', '.join(NAMES)}")
    return run_all([generator(name) for name in given.names or NAMES], is_check=given.check)


if __name__ == "__main__":
    sys.exit(main())
