"""Entry point of a worker process: `python -m atheria_server.engine.worker_main FD`.

FD is the worker's end of a SEQPACKET socket pair; the first message on it says which model to build. Everything the
front must know goes back over the socket, so that one clear line can be printed by one process.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from typing import Any

from atheria_server.allocator import keep_freed_memory
from atheria_server.engine import memory
from atheria_server.engine.buffers import BufferPool, BufferViews
from atheria_server.log import set_up_logging

_LOG = logging.getLogger("atheria.worker")


def main(fd: int) -> int:
    """Load the model, then serve until the front closes its end."""
    keep_freed_memory()
    set_up_logging()
    sock = socket.socket(fileno=fd)
    views, pool = BufferViews(), BufferPool()

    def say(kind: int, body: dict[str, Any]) -> None:
        memory.BodyWriter().seal(pool, kind, os.getpid(), body).post(sock)

    began = time.monotonic()
    message = memory.receive(sock, views)
    if message is None:
        return 0
    config = message.body
    try:
        from atheria_server.engine.setup import build, set_up

        served = build(config)
        imported = time.monotonic()
        model, loggers = set_up(served, config["device"])
    except Exception as error:  # noqa: BLE001 - model code may raise anything; the front ends with its text
        if not isinstance(error, (ValueError, OSError)):
            _LOG.error("event=model_load_failed", exc_info=error)
        say(memory.FATAL, {"reason": f"{type(error).__name__}: {error}"})
        return 1
    # What loading made stays for ever: keep later collections away from it.
    gc.collect()
    gc.freeze()
    seconds = {"import_seconds": imported - began, "load_seconds": time.monotonic() - imported}
    say(memory.HELLO, seconds)
    from atheria_server.engine.worker import Worker

    Worker(model, sock, views, pool, described=served.described, device=config["device"]).run()
    if loggers:
        loggers.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
