"""Objects of models: indexed as the observed state, and every event of one wakes its model's loops."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Final, cast

import kopf

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    SERVICE,
    SERVICE_ACCOUNT,
    Body,
    Observed,
    is_leaving,
    slim,
    slim_pod,
)
from atheria_operator.handlers.dependencies import Dependencies
from atheria_operator.handlers.kept import Packed, Unpacking, empty, plain
from atheria_operator.runtime.presence import Known

CHILDREN: Final = {
    DEPLOYMENT: ("apps", "v1", "deployments"),
    SERVICE: ("", "v1", "services"),
    CONFIG_MAP: ("", "v1", "configmaps"),
    SERVICE_ACCOUNT: ("", "v1", "serviceaccounts"),
    HORIZONTAL_POD_AUTOSCALER: ("autoscaling", "v2", "horizontalpodautoscalers"),
}
PODS: Final = ("", "v1", "pods")
MODELS: Final = (names.GROUP, names.VERSION, names.MODEL_PLURAL)
PROFILES: Final = (names.GROUP, names.VERSION, names.PROFILE_PLURAL)
_POD_INDEX: Final = "pods_by_model"
_PROFILE_INDEX: Final = "profiles_by_name"
_MODEL_INDEX: Final = "all_models"


def register_children(registry: kopf.OperatorRegistry, given: Dependencies) -> None:
    """Add the handlers of all owned kinds and of the hardware profiles."""
    for kind, selector in CHILDREN.items():
        _register_child(registry, given, kind, selector)

    @kopf.on.startup(id="keep-indexes", registry=registry)
    async def keep_indexes(**kwargs: Any) -> None:
        wanted = {_POD_INDEX, _MODEL_INDEX, *(_index_name(kind) for kind in CHILDREN)}
        given.indexes.update({name: index for name, index in kwargs.items() if name in wanted})

    @kopf.index(*PODS, id=_POD_INDEX, labels={names.LABEL_MODEL: kopf.PRESENT}, registry=registry)
    async def index_pod(body: kopf.Body, **_: Any) -> Mapping[ModelKey, Body]:
        return {_key(body): plain(slim_pod(body))}

    @kopf.on.event(*PODS, id="pod-event", labels={names.LABEL_MODEL: kopf.PRESENT}, registry=registry)
    async def pod_event(body: kopf.Body, event: kopf.RawEvent, **_: Any) -> None:
        empty(cast("MutableMapping[str, Any]", event["object"]))
        given.wake(_key(body))

    # One that is being deleted has no loops any more, and may stay for as long as somebody's finalizer holds it.
    @kopf.index(*MODELS, id=_MODEL_INDEX, when=_stays, registry=registry)
    async def index_model(namespace: str | None, name: str, **_: Any) -> Mapping[ModelKey, bool]:
        return {ModelKey(namespace=str(namespace), name=name): True}

    @kopf.index(*PROFILES, id=_PROFILE_INDEX, registry=registry)
    async def index_profile(name: str, body: kopf.Body, **_: Any) -> Mapping[str, Body]:
        return {name: plain(slim(body))}

    @kopf.on.event(*PROFILES, id="profile-event", registry=registry)
    async def profile_event(**_: Any) -> None:
        given.reconcile_wakeups.wake_all()


def observe(key: ModelKey, indexes: Mapping[str, Any], gone: frozenset[str] = frozenset()) -> Observed:
    """All objects of a model, from the indexes that kopf passes to a handler; not those whose uid is in `gone`."""
    return Observed(
        children=Unpacking(
            {
                (kind, packed.name): packed
                for kind in CHILDREN
                for packed in indexes[_index_name(kind)].get(key, ())
                if packed.uid not in gone
            }
        ),
        pods=tuple(
            body for body in indexes[_POD_INDEX].get(key, ()) if body["metadata"].get("uid") not in gone
        ),
    )


def known_objects(indexes: Mapping[str, Any]) -> dict[str, list[Known]]:
    """What the indexes have, by kind; nothing before kopf has started."""
    if not indexes:
        return {}
    known = {
        kind: [Known(uid=packed.uid, key=key) for key in index for packed in index[key]]
        for kind, index in ((kind, indexes[_index_name(kind)]) for kind in CHILDREN)
    }
    pods = indexes[_POD_INDEX]
    known["Pod"] = [
        Known(uid=str(body["metadata"].get("uid") or ""), key=key) for key in pods for body in pods[key]
    ]
    return known


def known_models(indexes: Mapping[str, Any]) -> list[ModelKey]:
    """All models that are not being deleted; nothing before kopf has started."""
    return list(indexes.get(_MODEL_INDEX, ()))


def profiles(indexes: Mapping[str, Any]) -> dict[str, Body]:
    """Hardware profiles by name."""
    index = indexes[_PROFILE_INDEX]
    return {str(name): next(iter(index[name])) for name in index if index[name]}


def _register_child(
    registry: kopf.OperatorRegistry, given: Dependencies, kind: str, selector: tuple[str, str, str]
) -> None:
    labels = {names.LABEL_MODEL: kopf.PRESENT}

    @kopf.index(*selector, id=_index_name(kind), labels=labels, registry=registry)
    async def index_child(body: kopf.Body, **_: Any) -> Mapping[ModelKey, Packed]:
        # Objects of a list come without their kind.
        return {_key(body): Packed({**slim(body), "kind": kind})}

    @kopf.on.event(*selector, id=f"{kind.lower()}-event", labels=labels, registry=registry)
    async def child_event(body: kopf.Body, event: kopf.RawEvent, **_: Any) -> None:
        empty(cast("MutableMapping[str, Any]", event["object"]))
        given.wake(_key(body))


def _stays(body: Body, **_: Any) -> bool:
    return not is_leaving(body)


def _index_name(kind: str) -> str:
    return f"{kind.lower()}s_by_model"


def _key(body: Body) -> ModelKey:
    metadata = body["metadata"]
    return ModelKey(namespace=str(metadata["namespace"]), name=str(metadata["labels"][names.LABEL_MODEL]))
