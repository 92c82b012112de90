"""What commands need of kubectl; `cluster.Cluster` has it, tests script it."""

from __future__ import annotations

from typing import Protocol


class Kubectl(Protocol):
    """Asked for answers."""

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return what it printed. Raises ClusterError."""
        ...


class FedKubectl(Kubectl, Protocol):
    """Also given a text to read."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl with this on its standard input and return what it printed. Raises ClusterError."""
        ...


class KubectlCommand(Kubectl, Protocol):
    """Also run as a program that goes on."""

    def command(self, program: str) -> list[str]:
        """The program with its options, to which arguments are added."""
        ...

    def full_environment(self) -> dict[str, str]:
        """For the program."""
        ...


def in_namespace(namespace: str) -> tuple[str, ...]:
    """kubectl's arguments for it; empty = what the context says."""
    return ("-n", namespace) if namespace else ()
