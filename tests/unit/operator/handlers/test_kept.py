"""What the operator keeps of objects, driven by kopf's own processing of events: what kopf keeps is light, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import kopf
import pytest
from kopf._cogs.structs.ephemera import AnyMemo, Memo
from kopf._cogs.structs.references import Resource
from kopf._core.actions.lifecycles import all_at_once
from kopf._core.engines.indexing import OperatorIndexers
from kopf._core.reactor.inventory import ResourceMemories
from kopf._core.reactor.processing import process_resource_event

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.handlers import models
from atheria_operator.handlers.children import CHILDREN, PODS, known_objects, observe, register_children
from atheria_operator.handlers.kept import Packed, Unpacking, plain
from atheria_operator.handlers.lifecycle import build_kopf_settings
from atheria_operator.handlers.models import MODELS, register_models
from atheria_operator.settings import read_settings

KEY = ModelKey(namespace="demo", name="qca")
MANAGED = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:model": {}}}}]


class Given:
    """The dependencies that the handlers of events use."""

    def __init__(self) -> None:
        self.indexes: dict[str, Any] = {}
        self.woken: list[ModelKey] = []
        self.sight = self

    def told(self, uid: str, *, is_deleted: bool) -> None:
        pass

    def wake(self, key: ModelKey) -> None:
        self.woken.append(key)


class Loops:
    """Stands for the loops of a model: keeps the body that the daemon was given."""

    bodies: list[kopf.Body] = []  # noqa: RUF012 - kopf makes the object, the test reads it

    def __init__(self, _key: ModelKey, body: kopf.Body, stopped: Any, *_: Any) -> None:
        self.bodies.append(body)
        self._stopped = stopped

    async def run(self) -> None:
        await self._stopped.wait()


class Kopf:
    """As much of kopf as processes one event."""

    def __init__(self, given: Any) -> None:
        self.registry = kopf.OperatorRegistry()
        register_children(self.registry, given)
        register_models(self.registry, given)
        self.indexers = OperatorIndexers()
        self.indexers.ensure(self.registry._indexing.get_all_handlers())
        self.memories = ResourceMemories()
        self.settings = build_kopf_settings(
            read_settings({names.ENV_SERVER_IMAGE: "server:1", "KUBECONFIG": "/nowhere"})
        )

    async def event(self, kind: tuple[str, str, str], raw: dict[str, Any], change: Any = "ADDED") -> None:
        group, version, plural = kind
        await process_resource_event(
            lifecycle=all_at_once,
            indexers=self.indexers,
            registry=self.registry,
            settings=self.settings,
            memories=self.memories,
            memobase=AnyMemo(Memo()),
            resource=Resource(group=group, version=version, plural=plural, namespaced=True),
            raw_event={"type": change, "object": raw},  # type: ignore[typeddict-item]
            event_queue=asyncio.Queue(),
        )

    async def end(self) -> None:
        for memory in self.memories.iter_all_daemon_memories():
            for daemon in list(memory.running_daemons.values()):
                daemon.task.cancel()
                await asyncio.wait([daemon.task])


def raw_object(*, uid: str = "uid-1", **parts: Any) -> dict[str, Any]:
    """An object of the model as a watch tells of it."""
    return {
        "apiVersion": "v1",
        "metadata": {
            "name": "qca",
            "namespace": "demo",
            "uid": uid,
            "resourceVersion": "1",
            "labels": {names.LABEL_MODEL: "qca"},
            "managedFields": MANAGED,
        },
        **parts,
    }


def raw_model(**parts: Any) -> dict[str, Any]:
    """A model that kopf has nothing to write to."""
    raw = raw_object(**parts)
    raw["metadata"]["finalizers"] = [names.FINALIZER]
    return raw


@pytest.fixture(autouse=True)
def loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(models, "ModelLoops", Loops)
    yield
    Loops.bodies.clear()


@pytest.mark.parametrize("kind", CHILDREN)
async def test_the_index_has_all_that_is_compared_and_kopf_only_the_identity(kind: str) -> None:
    given = Given()
    watching = Kopf(given)
    raw = raw_object(spec={"replicas": 3}, data={"a": "b"})
    await watching.event(CHILDREN[kind], raw)
    indexed = observe(KEY, watching.indexers.indices).children[kind, "qca"]
    assert (indexed["kind"], indexed["spec"], indexed["data"]) == (kind, {"replicas": 3}, {"a": "b"})
    assert indexed["metadata"]["uid"] == "uid-1"
    assert "managedFields" not in indexed["metadata"]
    assert raw.keys() == {"apiVersion", "metadata"}
    assert "managedFields" not in raw["metadata"]
    assert given.woken == [KEY]


async def test_pods_are_indexed_before_kopf_loses_them() -> None:
    given = Given()
    watching = Kopf(given)
    raw = raw_object(spec={"containers": []}, status={"phase": "Running"})
    await watching.event(PODS, raw)
    (indexed,) = watching.indexers.indices["pods_by_model"][KEY]
    assert indexed["status"] == {"phase": "Running"}
    assert "status" not in raw
    await watching.event(PODS, raw_object(), "DELETED")
    assert KEY not in watching.indexers.indices["pods_by_model"]
    assert given.woken == [KEY, KEY]


async def test_the_body_that_kopf_keeps_for_a_model_is_the_newest_without_who_wrote_what() -> None:
    watching = Kopf(Given())
    await watching.event(MODELS, raw_model(spec={"replicas": 1}))
    await asyncio.sleep(0)
    (body,) = Loops.bodies
    assert dict(body["spec"]) == {"replicas": 1}
    assert "managedFields" not in body["metadata"]
    await watching.event(MODELS, raw_model(spec={"replicas": 2}, status={"phase": "Serving"}), "MODIFIED")
    assert dict(body["spec"]) == {"replicas": 2}
    assert dict(body["status"]) == {"phase": "Serving"}
    assert "managedFields" not in body["metadata"]
    assert body["metadata"]["finalizers"] == [names.FINALIZER]
    await watching.end()


async def test_an_object_that_is_gone_is_not_seen_and_those_that_there_are_are_known() -> None:
    watching = Kopf(Given())
    assert known_objects({}) == {}
    await watching.event(CHILDREN["Service"], raw_object())
    await watching.event(PODS, raw_object(uid="uid-2"))
    indexes = watching.indexers.indices
    assert len(observe(KEY, indexes).children) == len(observe(KEY, indexes).pods) == 1
    seen = observe(KEY, indexes, frozenset({"uid-1", "uid-2"}))
    assert (list(seen.children), seen.pods) == ([], ())
    known = known_objects(indexes)
    assert {kind: [(one.uid, one.key) for one in found] for kind, found in known.items() if found} == {
        "Service": [("uid-1", KEY)],
        "Pod": [("uid-2", KEY)],
    }


def test_an_object_is_unpacked_as_it_was_and_only_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = {"metadata": {"name": "qca", "uid": "u"}, "spec": {"list": [1, 0.5, None, True, "ä"]}}
    unpacked: list[str] = []
    unpack = Packed.unpack

    def counting(packed: Packed) -> Any:
        unpacked.append(packed.name)
        return unpack(packed)

    monkeypatch.setattr(Packed, "unpack", counting)
    objects = Unpacking({("Deployment", "qca"): Packed(body), ("Service", "other"): Packed(body)})
    assert set(objects) == {("Deployment", "qca"), ("Service", "other")}
    assert objects.get(("Service", "qca")) is None
    assert unpacked == []
    assert objects["Deployment", "qca"] == body
    assert objects["Deployment", "qca"] is objects["Deployment", "qca"]
    assert unpacked == ["qca"]


def test_equal_words_of_two_objects_are_one_object() -> None:
    text = json.dumps({"labels": {"atheria.dev/model": "qca"}, "ports": [{"protocol": "TCP"}]})
    one, two = (plain(json.loads(text)) for _ in range(2))
    assert one == two == json.loads(text)
    assert one["labels"]["atheria.dev/model"] is two["labels"]["atheria.dev/model"]
    assert next(iter(one["labels"])) is next(iter(two["labels"]))
    assert one["ports"][0]["protocol"] is two["ports"][0]["protocol"]
