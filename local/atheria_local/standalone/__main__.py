"""`python -m atheria_local.standalone MODEL.yaml`: run it until SIGTERM, Ctrl-C or the end of stdin; says how it is in JSON lines.

Started by `atheria demo`, which reads the lines: first `{"event": "listening", "grpc", "http", "metrics", "logs"}`, then
`{"event": "state", ...}` at each change. Whoever started it holds its stdin, so that it ends with them, however they end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import yaml

from atheria_contract import names
from atheria_local.errors import LocalError
from atheria_local.free_ports import free_port
from atheria_local.standalone.stack import Ports, Stack

DEMO: Final = Path(__file__).with_name("demo.yaml")
LONGEST_DIRECTORY: Final = 64
END_SECONDS: Final = 35.0
"""From a request to end until it ends by force; an end in order takes 28 s at most."""
_STATE_SECONDS: Final = 0.1
"""Between two looks at what changed."""


def main() -> int:
    """The command; 0 after a stop, 1 where something failed, in a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m atheria_local.standalone", description=__doc__)
    parser.add_argument(
        "manifest",
        type=Path,
        nargs="?",
        default=DEMO,
        help="YAML of an AtheriaModel; its AtheriaHardwareProfile in the same file has the price",
    )
    parser.add_argument(
        "--grpc-port", type=int, default=0, help="of the gateway, on 127.0.0.1; 0 = 8001 or a free one"
    )
    parser.add_argument(
        "--http-port", type=int, default=0, help="of the gateway, on 127.0.0.1; 0 = 8000 or a free one"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="atheria-demo-", dir=_short(tempfile.gettempdir())) as folder:
        logging.basicConfig(
            filename=Path(folder) / "stack.log", level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
        )
        try:
            documents = _documents(given.manifest)
            body = _model(documents, given.manifest)
            ports = _ports(given.grpc_port, given.http_port)
            asyncio.run(_run(Stack(body, Path(folder), ports, documents), Path(folder), ports))
        except LocalError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        except OSError as error:
            sys.stderr.write(f"the demo cannot run: {error}\n")
            return 1
    return 0


def _short(directory: str) -> str:
    """Where sockets can be: a Unix socket's path has at most 107 bytes, and theirs are up to 40 longer than the folder's."""
    return directory if len(os.fsencode(directory)) <= LONGEST_DIRECTORY else "/tmp"  # noqa: S108 - a folder of its own is made in it


async def _run(stack: Stack, folder: Path, ports: Ports) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        watchdog = threading.Timer(END_SECONDS, _give_up, (folder,))
        watchdog.daemon = True
        watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    loop.add_reader(sys.stdin, _at_end_of_input, loop, end)
    async with stack.running() as whole:
        _say("listening", grpc=ports.grpc, http=ports.http, metrics=ports.metrics, logs=str(folder))
        stopped = asyncio.create_task(stop.wait())
        before: dict[str, Any] = {}
        while not stopped.done():
            now = _state(stack)
            if now != before:
                _say("state", **now)
                before = now
            done, _ = await asyncio.wait(
                {whole, stopped}, timeout=_STATE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if whole in done:
                await whole


def _give_up(folder: Path) -> None:
    """What has not ended in order by now never will; the kernel ends the children with this process."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _at_end_of_input(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin)
        end()


def _state(stack: Stack) -> dict[str, Any]:
    state = stack.state
    newest = state.decisions[0] if state.decisions else {}
    return {
        "asked": state.asked,
        "pods": state.pods,
        "ready": state.ready,
        "held": state.held,
        "in_flight": state.in_flight,
        "phase": state.phase,
        "decision": f"{newest['reason']}: {newest['message']}" if newest else "",
    }


def _say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def _documents(path: Path) -> list[Any]:
    """All of the file. Raises LocalError."""
    try:
        return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LocalError(f"{path} cannot be read: {error}") from error


def _model(documents: Sequence[Any], path: Path) -> dict[str, Any]:
    """The first AtheriaModel among them. Raises LocalError."""
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == names.MODEL_KIND:
            return document
    raise LocalError(f"{path} has no document of kind {names.MODEL_KIND}")


_CLAIMS: Final[list[socket.socket]] = []
"""Held to the end of the process."""


def _claim(port: int) -> None:
    """OSError where another of these processes has the port: Envoy would share it, as it listens with SO_REUSEPORT."""
    one = socket.socket(socket.AF_UNIX)
    try:
        one.bind(f"\0atheria-demo-port-{port}")
    except OSError:
        one.close()
        raise
    _CLAIMS.append(one)


def _ports(grpc: int, http: int) -> Ports:
    """The asked ones; without one the gateway's own where it is free. Raises LocalError for an asked one that is taken."""
    with ExitStack() as held:

        def free(asked: int, usual: int) -> int:
            port = asked or usual
            one = held.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
                _claim(port)
            except OSError as error:
                if not asked:
                    return free_port()
                raise LocalError(
                    f"port {asked} on 127.0.0.1 is taken: give another one, or leave it out"
                ) from error
            return port

        return Ports(grpc=free(grpc, names.PORT_GRPC), http=free(http, names.PORT_HTTP), metrics=free_port())


if __name__ == "__main__":
    sys.exit(main())
