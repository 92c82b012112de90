"""Entry point of a worker process: of a fork of the front, or `python -m atheria_server.engine.worker_main FD`.

FD is the worker's end of a SEQPACKET socket pair; the first message on it says which model to build. Everything the
front must know goes back over the socket, so that one clear line can be printed by one process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import os
import select
import socket
import sys
import time
from typing import Any, NoReturn

from atheria_contract.serving import parse_serving_config
from atheria_server.allocator import keep_freed_memory
from atheria_server.core.errors import start_failure
from atheria_server.engine import memory
from atheria_server.engine.buffers import BufferPool, BufferViews
from atheria_server.engine.imports import WORKER_NAME, name_process, process_age_seconds, uncollected
from atheria_server.log import set_up_logging

_LOG = logging.getLogger("atheria.worker")


def main(fd: int, began: float | None = None) -> int:
    """Load the model, then serve until the front closes its end; `began` = time.monotonic() at the begin of the start, None = of
    this process."""
    keep_freed_memory()
    set_up_logging()
    name_process(WORKER_NAME)
    if began is None:
        began = time.monotonic() - process_age_seconds()
    sock = socket.socket(fileno=fd)
    views, pool = BufferViews(), BufferPool()

    def say(kind: int, body: dict[str, Any]) -> None:
        memory.BodyWriter().seal(pool, kind, os.getpid(), body).post(sock)

    message = memory.receive(sock, views)
    if message is None:
        return 0
    config = parse_serving_config(message.body["config"])
    device = message.body["device"]
    try:
        with uncollected():
            from atheria_server.engine.download_phase import download_phase
            from atheria_server.engine.setup import build, set_up
            from atheria_server.models.registry import libraries_of
            from atheria_server.sources.progress import Transfer, listening

            # Before the source is there: meanwhile the front downloads it.
            for library in libraries_of(config.source):
                importlib.import_module(library)
        imported = time.monotonic()

        def tell_download(transfer: Transfer) -> None:
            # A front that does not read yet must not hold up the download.
            if select.select([], [sock], [], 0)[1]:
                say(memory.PHASE, download_phase(transfer).body())

        served = build(config)
        with listening(tell_download):
            ready = set_up(served, config, device, lambda phase: say(memory.PHASE, phase.body()))
    except Exception as error:  # noqa: BLE001 - model code may raise anything; the front ends with its text
        if not isinstance(error, (ValueError, OSError)):
            _LOG.error("event=model_load_failed", exc_info=error)
        say(memory.FATAL, {"reason": start_failure(error)})
        return 1
    # What loading made stays for ever: keep later collections away from it.
    gc.collect()
    gc.freeze()
    seconds = {"import_seconds": imported - began, "load_seconds": time.monotonic() - imported}
    say(memory.HELLO, {**seconds, "report": ready.report})
    from atheria_server.engine.device_rest import fixed_by
    from atheria_server.engine.worker import Worker

    Worker(
        ready.model,
        sock,
        views,
        pool,
        described=served.described,
        device=device,
        compiled=ready.compiled,
        fixed=fixed_by(ready.compiled.mode if ready.compiled else "", device),
    ).run()
    if ready.loggers:
        ready.loggers.stop()
    return 0


def exit_at_once(code: int) -> NoReturn:
    """As `sys.exit`, without taking the interpreter apart: the compiler that torch brings complains of that at length."""
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way to run them now
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_at_once(main(int(sys.argv[1])))
