"""Write the Grafana dashboards into the chart; `--check` only compares. Run by `make generate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

TOOLS: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))

from dashboards.catalogue import files  # noqa: E402 - its folder is not on the path before

TARGET: Final = TOOLS.parent / "charts" / "atheria" / "dashboards"


def stale() -> list[str]:
    """Names of files that are missing, differ, or belong to no dashboard any more."""
    wanted = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main() -> int:
    """Write, or with --check compare and exit 1 on a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    names = stale()
    if check and names:
        sys.stderr.write(f"not current in {TARGET}: {', '.join(names)}; run make generate\n")
        return 1
    if not check:
        TARGET.mkdir(parents=True, exist_ok=True)
        wanted = files()
        for name in names:
            if name in wanted:
                (TARGET / name).write_text(wanted[name], encoding="utf-8")
            else:
                (TARGET / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
