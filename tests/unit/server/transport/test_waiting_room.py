"""Probes are answered while the front downloads, and the port is handed over without a gap."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from atheria_local.pki import Authority
from atheria_server.core.errors import StartError
from atheria_server.sources.progress import Transfer
from atheria_server.transport.tls import ENV_CERT, ENV_KEY
from atheria_server.transport.waiting_room import WaitingRoom


def listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def transfer(done: int) -> Transfer:
    return Transfer(source="s3://a/b", state="downloading", done_bytes=done, total_bytes=9, seconds=0.0)


def ask(room: WaitingRoom, path: str, context: ssl.SSLContext | None = None) -> tuple[int, Any]:
    assert room.socket is not None
    port = room.socket.getsockname()[1]
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_probes_hear_how_far_the_download_is() -> None:
    with WaitingRoom(listen) as room:
        room.told(transfer(3))
        reason = "the model is not loaded yet: downloading 3 of 9 (s3://a/b)"
        assert ask(room, "/v2/health/ready") == (503, {"ready": False, "reason": reason})
        room.told(transfer(7))
        assert "downloading 7 of 9" in ask(room, "/v2/health/ready")[1]["reason"]
        assert ask(room, "/v2/health/live") == (200, {"live": True})
        assert ask(room, "/v2/models/m/infer") == (503, {"error": reason.replace("3 of", "7 of")})
    assert room.socket is not None
    room.socket.close()


def test_nothing_is_opened_where_nothing_is_downloaded() -> None:
    with WaitingRoom(listen) as room:
        pass
    assert room.socket is None


def test_a_call_that_comes_after_the_download_waits_for_the_server() -> None:
    with WaitingRoom(listen) as room:
        room.told(transfer(3))
        assert ask(room, "/v2/health/live")[0] == 200
    assert room.socket is not None
    with room.socket, socket.create_connection(room.socket.getsockname(), timeout=10):
        room.socket.settimeout(10)
        taken, _ = room.socket.accept()
        taken.close()


def test_a_port_that_is_taken_ends_the_start() -> None:
    def refuse() -> socket.socket:
        raise StartError("HTTP cannot listen")

    with WaitingRoom(refuse) as room, pytest.raises(StartError, match="cannot listen"):
        room.told(transfer(3))


def test_a_server_with_a_certificate_shows_it_while_it_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("server", names=["IP:127.0.0.1"])
    monkeypatch.setenv(ENV_CERT, str(issued.certificate))
    monkeypatch.setenv(ENV_KEY, str(issued.key))
    with WaitingRoom(listen) as room:
        room.told(transfer(3))
        context = ssl.create_default_context(cafile=str(authority.certificate))
        assert ask(room, "/v2/health/live", context) == (200, {"live": True})
    assert room.socket is not None
    room.socket.close()
