"""`atheria-server`: import what front and worker both need, fork the workers, then load the rest of the front beside them.

A worker imports torch while the front imports its protocols. No thread of Python and no event loop
may exist before the fork; the threads of numpy's OpenBLAS do, which it stops and starts anew over a fork by itself.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from atheria_contract.serving import ServingConfigError
from atheria_server.allocator import keep_freed_memory
from atheria_server.core.errors import StartError
from atheria_server.engine.imports import uncollected
from atheria_server.engine.resources import allow_open_files, thread_environment
from atheria_server.log import set_up_logging
from atheria_server.settings import COMMANDS, parse_arguments

TERMINATION_LOG: Final = Path("/dev/termination-log")
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's exit code; the last line on stderr says why it is not 0."""
    began = time.monotonic()
    given = list(sys.argv[1:] if arguments is None else arguments)
    keep_freed_memory()
    set_up_logging()
    if given and given[0] in COMMANDS:
        command = importlib.import_module(f"atheria_server.commands.{given[0]}")
        return int(command.main(given[1:]))
    try:
        config = parse_arguments(given)
    except ServingConfigError as error:
        return _fail(str(error), EXIT_USAGE)
    allow_open_files()
    # As the first process of a container it would ignore the signal until `serve` handles it.
    signal.signal(signal.SIGTERM, _end)
    from atheria_server.engine.start import worker_specs

    specs = worker_specs(config)
    # Read by numerical libraries when they are imported, which happens before the fork.
    os.environ.update(thread_environment(specs[0].threads))
    with uncollected():
        from atheria_server.engine.fork import fork_workers
        from atheria_server.engine.process import WorkerProcess

    workers = [WorkerProcess(spec, one) for spec, one in zip(specs, fork_workers(specs), strict=True)]
    try:
        with uncollected():
            from atheria_server.app import serve

        serve(config, workers, began)
    except StartError as error:
        return _fail(str(error), EXIT_FAILED)
    finally:
        for worker in workers:
            worker.kill()
    return 0


def _end(number: int, _: object) -> None:
    """Before there is anything to drain."""
    sys.exit(128 + number)


def _fail(reason: str, code: int) -> int:
    """One line, where a person and where Kubernetes look for it."""
    line = f"atheria-server: error: {' '.join(reason.split())}"
    sys.stderr.write(line + "\n")
    try:
        # Kubernetes makes the file; without it there is nobody to read it.
        descriptor = os.open(TERMINATION_LOG, os.O_WRONLY | os.O_TRUNC)
    except OSError:
        return code
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(line + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
