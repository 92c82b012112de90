"""`atheria-operator`: environment to settings to `app.run`."""

from __future__ import annotations

import asyncio
import gc
import os
import sys

from atheria_operator.app import configure_logging, run
from atheria_operator.runtime.leadership import Replaced
from atheria_operator.settings import SettingsError, read_settings

EXIT_USAGE = 2
EXIT_REPLACED = 3


def main() -> int:
    """Exit status 0 after SIGTERM, 2 for wrong settings, 3 when another operator took over; anything else ends with its
    trace."""
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"atheria-operator: error: {error}\n")
        return EXIT_USAGE
    configure_logging(settings.log_level, settings.log_format)
    # What is loaded by now stays: later collections need not look at it, and so come sooner.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(run(settings))
    except SettingsError as error:
        sys.stderr.write(f"atheria-operator: error: {error}\n")
        return EXIT_USAGE
    except Replaced as replaced:
        sys.stderr.write(f"atheria-operator: {replaced}\n")
        return EXIT_REPLACED
    return 0


if __name__ == "__main__":
    sys.exit(main())
