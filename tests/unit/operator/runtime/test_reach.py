"""A named namespace that is refused is left out, and the others are served."""

from __future__ import annotations

import pytest

from atheria_operator.runtime.ports import ClusterError
from atheria_operator.runtime.reach import Reach


class Cluster:
    """Namespaces with a Role, and those that give no answer."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = set(allowed)
        self.silent: set[str] = set()

    async def may_read(self, namespace: str) -> bool:
        if namespace in self.silent:
            raise ClusterError(500, "etcd is away")
        return namespace in self.allowed


async def test_one_that_is_refused_is_left_out_until_it_has_a_role_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster, shared = Cluster("a"), ["a", "b"]
    reach = Reach(cluster, ("a", "b"), shared)
    assert await reach.look()
    assert shared == ["a"]
    assert not await reach.look()
    assert caplog.text.count("namespace=b is refused") == 1
    cluster.allowed.add("b")
    assert await reach.look()
    assert shared == ["a", "b"]


async def test_silence_changes_nothing() -> None:
    cluster, shared = Cluster("a"), ["a", "b"]
    reach = Reach(cluster, ("a", "b"), shared)
    cluster.silent = {"a", "b"}
    assert not await reach.look()
    assert shared == ["a", "b"]
    cluster.silent = set()
    await reach.look()
    cluster.silent = {"a", "b"}
    assert not await reach.look()
    assert shared == ["a"]


async def test_without_names_all_is_served_and_with_names_none_is_not_all() -> None:
    everything = Reach(Cluster(), (), [])
    assert not await everything.look()
    assert not everything.is_empty
    nothing = Reach(Cluster(), ("a",), ["a"])
    await nothing.look()
    assert nothing.is_empty
