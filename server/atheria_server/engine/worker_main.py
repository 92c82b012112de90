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

from atheria_server.engine import memory
from atheria_server.log import set_up_logging

_LOG = logging.getLogger("atheria.worker")


def main(fd: int) -> int:
    """Load the model, then serve until the front closes its end."""
    set_up_logging()
    sock = socket.socket(fileno=fd)
    began = time.monotonic()
    message = memory.receive(sock)
    if message is None:
        return 0
    config = message.body
    try:
        from atheria_server.models.contract import is_described
        from atheria_server.models.registry import load_api

        api = load_api(config["source"], config["parameters"], config["digest"])
        described = is_described(api)
        api.max_batch_size = min(config["max_batch_size"], api.max_batch_size)
        api.pre_setup()
        api.device = config["device"]
        imported = time.monotonic()
        api.setup(config["device"])
    except Exception as error:  # noqa: BLE001 - model code may raise anything; the front ends with its text
        if not isinstance(error, (ValueError, OSError)):
            _LOG.error("event=model_load_failed", exc_info=error)
        memory.send_body(sock, memory.FATAL, os.getpid(), {"reason": f"{type(error).__name__}: {error}"})
        return 1
    # What loading made stays for ever: keep later collections away from it.
    gc.collect()
    gc.freeze()
    seconds = {"import_seconds": imported - began, "load_seconds": time.monotonic() - imported}
    memory.send_body(sock, memory.HELLO, os.getpid(), seconds)
    from atheria_server.engine.worker import Worker

    Worker(api, sock, described=described).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
