from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from atheria_local import free_ports
from atheria_local.free_ports import free_port

ASKS = "from atheria_local import free_ports; free_ports.FIRST, free_ports.LAST = {}, {}; print(free_ports.free_port())"


def test_no_port_is_given_twice_although_nobody_has_bound_it() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == len(given)
    with socket.socket() as one:
        one.bind((free_ports.ADDRESS, given[0]))


def test_another_process_gets_none_that_is_claimed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_ports, "_TRIES", 200)
    port = free_port()

    def ask(last: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", ASKS.format(port, last)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    alone = ask(port + 1)
    assert alone.returncode != 0
    assert f"no free port of 127.0.0.1 from {port} to {port}" in alone.stderr
    assert port < int(ask(port + 50).stdout) < port + 50


def test_a_port_that_somebody_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((free_ports.ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(free_ports, "FIRST", port)
        monkeypatch.setattr(free_ports, "LAST", port + 1)
        with pytest.raises(OSError, match="end what listens there"):
            free_port()
