"""The network namespace that all of the cluster lives in, and the host's two routes into it.

The node is 10.98.0.2 behind a veth pair; Services and pods are reached through it. Nothing changes in the host's firewall.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from atheria_local.api_server import SERVICE_RANGE
from atheria_local.errors import LocalError
from atheria_local.shell import run

NAMESPACE: Final = "atheria-local"
HOST_LINK: Final = "atheria-host"
HOST_ADDRESS: Final = "10.98.0.1"
NODE_ADDRESS: Final = "10.98.0.2"
POD_RANGE: Final = "10.244.0.0/24"
NAMESPACE_FILE: Final = Path("/run/netns") / NAMESPACE


def inside(*command: str) -> list[str]:
    """The command, run in the namespace; nsenter, because `ip netns exec` would hide /sys/fs/cgroup."""
    return ["nsenter", f"--net={NAMESPACE_FILE}", *command]


def create() -> None:
    """Make namespace, link and routes. Raises LocalError when one of our address ranges is taken on this machine."""
    for network in ("10.98.0.0/24", POD_RANGE, SERVICE_RANGE):
        taken = run(["ip", "route", "show", "to", "root", network]).strip()
        if taken:
            raise LocalError(
                f"this machine already has a route into {network} ({taken.splitlines()[0].strip()}), which the local cluster needs: "
                "remove that route, or set KUBECONFIG to use a cluster that you have"
            )
    run(["ip", "netns", "add", NAMESPACE])
    run(["ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE])
    run(["ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", HOST_LINK])
    run(["ip", "link", "set", HOST_LINK, "up"])
    run(inside("ip", "address", "add", f"{NODE_ADDRESS}/24", "dev", "eth0"))
    for link in ("eth0", "lo"):
        run(inside("ip", "link", "set", link, "up"))
    run(inside("ip", "route", "add", "default", "via", HOST_ADDRESS))
    run(inside("sysctl", "-qw", "net.ipv4.ip_forward=1"))
    # Absent where the kernel has no br_netfilter; then bridged packets pass kube-proxy's rules anyhow or not at all.
    run(inside("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"), check=False)
    for network in (SERVICE_RANGE, POD_RANGE):
        run(["ip", "route", "add", network, "via", NODE_ADDRESS])


def delete() -> None:
    """Remove what `create` made; the routes and the other end of the link go with the link."""
    run(["ip", "link", "delete", HOST_LINK], check=False)
    run(["ip", "netns", "delete", NAMESPACE], check=False)


def exists() -> bool:
    """True when the namespace is there, ours or of a killed run."""
    return NAMESPACE_FILE.exists()
