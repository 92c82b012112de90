"""Write the Grafana dashboards into the chart; `--check` only compares. Run by `make generate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tools.dashboards.catalogue import documents
from tools.generated_files import Generated

TARGET: Final = Path(__file__).resolve().parent.parent / "charts" / "atheria" / "dashboards"


def files() -> dict[Path, str]:
    """Path to text of every dashboard."""
    return {TARGET / name: text for name, text in documents().items()}


GENERATED: Final = Generated(description=__doc__, files=files, alone_in=((TARGET, "*.json"),))


if __name__ == "__main__":
    sys.exit(GENERATED.run())
