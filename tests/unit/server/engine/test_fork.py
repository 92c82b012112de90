"""Workers as forks, each case in a process of its own: pytest's has threads."""

from __future__ import annotations

import subprocess
import sys

PREPARED = """
import os, signal, socket, subprocess, sys, time
from atheria_contract.serving import ServingConfig
from atheria_server.engine import worker_main
from atheria_server.engine.fork import fork_workers
from atheria_server.engine.launch import WorkerSpec

spec = WorkerSpec(config=ServingConfig(source="builtin://echo", name="m"), device="cpu")

def forked(main, count=1):
    worker_main.main = main
    return fork_workers([spec] * count)

def until_closed(fd, began):
    sock = socket.socket(fileno=fd)
    sock.send(b"here")
    return 5 if sock.recv(1) == b"" else 6
"""


def lines(script: str) -> list[str]:
    """What the script printed."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARED + script], capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.splitlines()


def test_the_exit_code_is_that_of_the_workers_main_however_it_ends() -> None:
    script = """
def failing(fd, began):
    raise RuntimeError("broken")
def leaving(fd, began):
    sys.exit(3)
for main in (lambda fd, began: 7, failing, leaving):
    (one,) = forked(main)
    print(one.process.wait(60), one.process.poll())
print("only the front comes here")
"""
    assert lines(script) == ["7 7", "1 1", "3 3", "only the front comes here"]


def test_a_worker_is_told_when_the_start_began_and_is_a_process_group_of_its_own() -> None:
    script = """
def main(fd, began):
    socket.socket(fileno=fd).send(f"{0 < time.monotonic() - began < 300} {os.getpgrp() == os.getpid()}".encode())
    return 0
(one,) = forked(main)
one.sock.setblocking(True)
print(one.sock.recv(100).decode(), one.process.pid != os.getpid())
one.process.wait(60)
"""
    assert lines(script) == ["True True True"]


def test_each_worker_ends_when_the_front_closes_its_socket_whatever_the_others_hold() -> None:
    script = """
first, second = forked(until_closed, 2)
for one in (first, second):
    one.sock.setblocking(True)
    one.sock.recv(10)
for one in (first, second):
    print(one.process.poll())
    one.sock.close()
    print(one.process.wait(60))
"""
    assert lines(script) == ["None", "5", "None", "5"]


def test_a_worker_can_be_waited_for_with_a_bound_and_killed() -> None:
    script = """
(one,) = forked(until_closed)
try:
    one.process.wait(0.01)
except subprocess.TimeoutExpired:
    print("still there")
one.process.kill()
print(one.process.wait(60))
one.process.kill()
"""
    assert lines(script) == ["still there", "-9"]


def test_the_fronts_handler_of_a_signal_is_not_the_workers() -> None:
    script = """
signal.signal(signal.SIGTERM, lambda *_: print("the front was told", flush=True))
(one,) = forked(until_closed)
one.sock.setblocking(True)
one.sock.recv(10)
os.kill(one.process.pid, signal.SIGTERM)
print(one.process.wait(60))
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert lines(script) == ["-15", "the front was told"]
