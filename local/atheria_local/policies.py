"""`python -m atheria_local.policies`: enforces NetworkPolicies on the local cluster's node, whose network plugin does not.

One of the cluster's programs, started by `cluster` in its network namespace: it watches pods, namespaces and policies and writes the
rules anew whenever they would be others. A connection that was there before a policy goes on.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from atheria_local.policy_rules import CHAIN, rules

_LOG: Final = logging.getLogger(__name__)
_PATHS: Final = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
_HOOKS: Final = ("FORWARD", "INPUT")
"""Between pods and from elsewhere to pods; from pods to the node, where API server and DNS are."""
_WATCH_SECONDS: Final = 300
_AGAIN_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 10.0
"""kube-proxy may put chains of its own before ours."""


@dataclass(slots=True)
class Seen:
    """What the watches know; `changed` is set with each news."""

    objects: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    changed: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def replace(self, kind: str, items: list[Mapping[str, Any]]) -> None:
        """After a list."""
        with self.lock:
            self.objects[kind] = {item["metadata"]["uid"]: item for item in items}
        self.changed.set()

    def take(self, kind: str, event: str, item: Mapping[str, Any]) -> None:
        """After an event of a watch."""
        with self.lock:
            if event == "DELETED":
                self.objects[kind].pop(item["metadata"]["uid"], None)
            else:
                self.objects[kind][item["metadata"]["uid"]] = item
        self.changed.set()

    def rules(self) -> str:
        """For iptables; empty until every kind was listed."""
        with self.lock:
            if set(self.objects) != set(_PATHS):
                return ""
            return rules(*(list(self.objects[kind].values()) for kind in _PATHS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API server, as an administrator."""

    host: str
    port: int
    context: ssl.SSLContext

    def lines(self, path: str) -> Iterator[bytes]:
        """Lines of the answer as they come. OSError or HTTPException."""
        connection = http.client.HTTPSConnection(
            self.host, self.port, context=self.context, timeout=_WATCH_SECONDS + 30
        )
        with closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(f"{path}: {answer.status} {answer.reason}")
            yield from answer


def follow(api: Api, seen: Seen, kind: str) -> None:
    """List and watch for ever."""
    while True:
        try:
            listed = json.loads(b"".join(api.lines(_PATHS[kind])))
            seen.replace(kind, listed["items"])
            version = listed["metadata"]["resourceVersion"]
            query = f"?watch=1&timeoutSeconds={_WATCH_SECONDS}&resourceVersion={version}"
            for line in api.lines(_PATHS[kind] + query):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    break
                seen.take(kind, event["type"], event["object"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            _LOG.warning("watch of %s: %s", kind, error)
            time.sleep(_AGAIN_SECONDS)


def enforce(seen: Seen, watches: Sequence[threading.Thread]) -> None:
    """Write rules until a watch breaks. What iptables does not take is logged and tried again."""
    written = ""
    while all(watch.is_alive() for watch in watches):
        seen.changed.wait(_LOOK_SECONDS)
        # Several news come together.
        time.sleep(_SETTLE_SECONDS)
        seen.changed.clear()
        try:
            wanted = seen.rules()
            if wanted and wanted != written:
                _iptables("iptables-restore", "--noflush", "--wait", "5", stdin=wanted)
                written = wanted
                _LOG.info("%d rules", wanted.count("\n-A "))
            if written:
                _come_first()
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            _LOG.warning("not enforced: %s", error)
            written = ""
            time.sleep(_AGAIN_SECONDS)
            seen.changed.set()


def _come_first() -> None:
    for hook in _HOOKS:
        present = [line for line in _iptables("iptables", "-S", hook).splitlines() if line.startswith("-A")]
        jump = f"-A {hook} -j {CHAIN}"
        if present[:1] != [jump]:
            if jump in present:
                _iptables("iptables", "--wait", "5", "-D", hook, "-j", CHAIN)
            _iptables("iptables", "--wait", "5", "-I", hook, "1", "-j", CHAIN)


def _iptables(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"`{' '.join(command[:4])}`: {done.stderr.strip()[-300:]}")
    return done.stdout


def main() -> int:
    """The program; ends by a signal, or with status 1 when a watch broke."""
    parser = argparse.ArgumentParser(prog="python -m atheria_local.policies", description=__doc__)
    parser.add_argument("--server", required=True, help="host:port of the API server")
    for name in ("authority", "certificate", "key"):
        parser.add_argument(f"--{name}", required=True, metavar="FILE")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    context = ssl.create_default_context(cafile=options.authority)
    context.load_cert_chain(options.certificate, options.key)
    host, _, port = options.server.rpartition(":")
    api, seen = Api(host=host, port=int(port), context=context), Seen()
    watches = [
        threading.Thread(target=follow, args=(api, seen, kind), name=kind, daemon=True) for kind in _PATHS
    ]
    for watch in watches:
        watch.start()
    enforce(seen, watches)
    return 1


if __name__ == "__main__":
    sys.exit(main())
