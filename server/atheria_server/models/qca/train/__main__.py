"""`python -m atheria_server.models.qca.train`: the same as `atheria-server train`."""

from __future__ import annotations

import sys

from atheria_server.models.qca.train.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
