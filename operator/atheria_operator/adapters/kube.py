"""The API server over `kubernetes.aio`: reads, server-side apply, scale and delete, as plain JSON objects.

Objects are plain dicts in the whole operator, so the typed models of the client are not used; paths are known, so there is
no discovery either.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config

from atheria_contract import names
from atheria_operator.domain.certificates.stored import CERTIFICATE, SECRET
from atheria_operator.domain.election import Record, lease_spec, read_lease
from atheria_operator.runtime.ports import FORBIDDEN, NOT_FOUND, ClusterError, ObjectRef, Scale

_PARALLEL: Final = 20
"""Requests at a time: a start with a thousand models must not starve others at the API server."""
_PAGE: Final = 500
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
_NAMES_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_UNKNOWN_FIELD: Final = "failed to create typed patch object"
_PLURALS: Final = {
    "Deployment": "deployments",
    "Service": "services",
    "ConfigMap": "configmaps",
    "ServiceAccount": "serviceaccounts",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "ScaledObject": "scaledobjects",
    "Pod": "pods",
    SECRET: "secrets",
    CERTIFICATE: "certificates",
    names.MODEL_KIND: names.MODEL_PLURAL,
}


_ROOTS: Final = {"Deployment": "/apis/apps/v1", "HorizontalPodAutoscaler": "/apis/autoscaling/v2"}
"""Of owned kinds that are not in the core group."""


async def connect(kubeconfig: str = "") -> client.ApiClient:
    """A client for the pod's service account, or for `kubeconfig` (a path) outside a cluster."""
    settings = client.Configuration()
    if kubeconfig:
        await config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
    else:
        config.load_incluster_config(client_configuration=settings)
    return client.ApiClient(configuration=settings)


class KubeClusterWriter:
    """ClusterWriter on a real API server."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        may_write: Callable[[], bool] = lambda: True,
        called: Callable[[str, int], None] = lambda _verb, _code: None,
        timeout_seconds: float = 30.0,
        namespaces: Sequence[str] = (),
    ) -> None:
        """`api` stays the caller's to close; `may_write` is asked before each change, `called` told of verb and status.

        `namespaces` are those to list in, read at each list; empty = all of the cluster.
        """
        self._api = api
        self._may_write = may_write
        self._called = called
        self._namespaces = namespaces
        self._timeout_seconds = timeout_seconds
        # aiohttp's own limit of the whole loses a cancellation that comes in the same turn of the loop.
        self._connect = aiohttp.ClientTimeout(total=None, sock_connect=min(5.0, timeout_seconds))
        self._slots = asyncio.Semaphore(_PARALLEL)

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """The object, or None when there is none."""
        found: Mapping[str, Any] | None = await self._call_or_none("GET", _path(ref))
        return found

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        """Server-side apply, forced; a resourceVersion in the body is a precondition."""
        return await self._apply(_path(ObjectRef.of(body)), body, manager)

    async def look(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """metadata of an object that may not be read, or None where there is none: by a patch that changes nothing."""
        try:
            found: Mapping[str, Any] = await self.call(
                "PATCH",
                _path(ref),
                body={},
                content_type="application/merge-patch+json",
                accept=_METADATA_ONLY,
            )
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return dict(found["metadata"])

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Server-side apply of the status subresource as atheria-status."""
        body = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "status": status,
        }
        return await self._apply(f"{_path(ref)}/status", body, names.FIELD_MANAGER_STATUS)

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        """Delete exactly this object in the background; an absent one is fine."""
        await self._call_or_none(
            "DELETE", _path(ref), body={"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        )

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        """The scale subresource, or None when there is no object."""
        found = await self._call_or_none("GET", f"{_path(ref)}/scale")
        return None if found is None else _scale(found)

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        """Set the number of pods through the scale subresource, only if the version still holds (409 otherwise)."""
        return _scale(
            await self.call(
                "PATCH",
                f"{_path(ref)}/scale",
                body={
                    "metadata": {"resourceVersion": scale.resource_version},
                    "spec": {"replicas": scale.replicas},
                },
                content_type="application/merge-patch+json",
                query={"fieldManager": names.FIELD_MANAGER_AUTOSCALER},
            )
        )

    async def set_deletion_cost(self, pod: ObjectRef, uid: str, cost: int | None) -> None:
        """How dear the deletion of exactly this pod is, the lowest goes first; None takes it back. An absent one is fine."""
        annotations = {names.ANNOTATION_DELETION_COST: None if cost is None else str(cost)}
        try:
            await self.call(
                "PATCH",
                _path(pod),
                body={"metadata": {"uid": uid, "annotations": annotations}},
                content_type="application/merge-patch+json",
                query={"fieldManager": names.FIELD_MANAGER_AUTOSCALER},
            )
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise

    async def uids(self, kind: str) -> frozenset[str]:
        """Uids of all objects of a kind that carry a model's label, in the operator's namespaces."""
        root = _ROOTS.get(kind, "/api/v1")
        found = await self._list(root, _PLURALS[kind], {"labelSelector": names.LABEL_MODEL})
        return frozenset(str(metadata["uid"]) for metadata in found)

    async def list_metadata(self) -> Sequence[Mapping[str, Any]]:
        """metadata of all models, in the operator's namespaces."""
        return await self._list(f"/apis/{names.API_VERSION}", names.MODEL_PLURAL, {})

    async def may_read(self, namespace: str) -> bool:
        """Whether models may be listed there; True also where there is no definition of them. Raises ClusterError."""
        try:
            await self.call(
                "GET",
                f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.MODEL_PLURAL}",
                query={"limit": "1"},
                accept=_NAMES_ONLY,
            )
        except ClusterError as error:
            if error.status not in (NOT_FOUND, FORBIDDEN):
                raise
            return error.status == NOT_FOUND
        return True

    async def set_finalizers(
        self, namespace: str, name: str, finalizers: Sequence[str], version: str
    ) -> None:
        """Of a model, only over the version that was read (409 otherwise)."""
        await self.call(
            "PATCH",
            f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.MODEL_PLURAL}/{name}",
            body={"metadata": {"finalizers": list(finalizers) or None, "resourceVersion": version}},
            content_type="application/merge-patch+json",
        )

    async def delete_workloads(self, namespace: str, name: str, uid: str) -> int:
        """Delete the Deployments that the model `uid` owns, in the background; how many there were."""
        query = {"labelSelector": f"{names.LABEL_MODEL}={name}"}
        found = [
            one
            for one in await self._list("/apis/apps/v1", _PLURALS["Deployment"], query, [namespace])
            if any(owner.get("uid") == uid for owner in one.get("ownerReferences") or ())
        ]
        for one in found:
            ref = ObjectRef(
                api_version="apps/v1", kind="Deployment", namespace=namespace, name=str(one["name"])
            )
            await self.delete(ref, str(one["uid"]))
        return len(found)

    async def _list(
        self, root: str, plural: str, query: Mapping[str, str], namespaces: Sequence[str] = ()
    ) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for scope in [f"/namespaces/{name}" for name in namespaces or self._namespaces] or [""]:
            following = ""
            while True:
                page = await self.call(
                    "GET",
                    f"{root}{scope}/{plural}",
                    query={
                        **query,
                        "limit": str(_PAGE),
                        **({"continue": following} if following else {}),
                    },
                    accept=_NAMES_ONLY,
                )
                found += [item["metadata"] for item in page.get("items") or ()]
                following = str((page.get("metadata") or {}).get("continue") or "")
                if not following:
                    break
        return found

    async def events_of_pod(self, namespace: str, uid: str) -> Sequence[Mapping[str, Any]]:
        """The newest of core/v1 Events of one pod, at most a hundred."""
        found = await self.call(
            "GET",
            f"/api/v1/namespaces/{namespace}/events",
            query={"fieldSelector": f"involvedObject.kind=Pod,involvedObject.uid={uid}", "limit": "100"},
        )
        return list(found.get("items") or ())

    async def _apply(self, path: str, body: Mapping[str, Any], manager: str) -> Mapping[str, Any]:
        applied: Mapping[str, Any] = await self.call(
            "PATCH",
            path,
            body=dict(body),
            content_type="application/apply-patch+yaml",
            query={"fieldManager": manager, "force": "true", "fieldValidation": "Strict"},
        )
        return applied

    async def _call_or_none(self, method: str, path: str, body: Any = None) -> Any:
        try:
            return await self.call(method, path, body=body)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Any:
        """One request; the answer as JSON. Raises ClusterError."""
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        async with self._slots:
            # Asked as late as can be: whoever waited for a slot may have lost the Lease meanwhile.
            if method != "GET" and not self._may_write():
                raise ClusterError(0, f"{method} {path}: not sent, this operator does not hold the Lease")
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    answer = await self._api.call_api(*request, _request_timeout=self._connect)
                    text = await answer.response.text()
            except aiohttp.ClientError as error:
                self._called(method, 0)
                raise ClusterError(0, f"{method} {path}: {type(error).__name__} {error}") from error
            except TimeoutError as error:
                self._called(method, 0)
                words = f"{method} {path}: no answer within {self._timeout_seconds:g} s"
                raise ClusterError(0, words) from error
        self._called(method, answer.response.status)
        if answer.response.status >= 300:
            message = _message(text)
            # Server-side apply answers 500 to a field that the kind does not have.
            is_unknown_field = answer.response.status == 500 and _UNKNOWN_FIELD in message
            raise ClusterError(422 if is_unknown_field else answer.response.status, message)
        return json.loads(text)


class KubeLease:
    """LeaseStore on a real API server, with requests of its own: the Lease must not wait for slots."""

    def __init__(
        self, api: client.ApiClient, namespace: str, now: Callable[[], str], timeout_seconds: float = 5.0
    ) -> None:
        """`namespace` is the operator's own; `now` gives RFC 3339."""
        self._cluster = KubeClusterWriter(api, timeout_seconds=timeout_seconds)
        self._namespace = namespace
        self._now = now
        self._root = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def read(self) -> Record | None:
        """The Lease, or None when there is none."""
        try:
            return read_lease(await self._cluster.call("GET", f"{self._root}/{names.LEASE_OPERATOR}"))
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def write(self, identity: str, before: Record | None) -> Record:
        """Make `identity` its holder (empty = nobody), only over the record that was read (409 otherwise)."""
        metadata = {"name": names.LEASE_OPERATOR, "namespace": self._namespace}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": lease_spec(identity, before, self._now()),
        }
        if before is None:
            return read_lease(await self._cluster.call("POST", self._root, body=body))
        body["metadata"] = {**metadata, "resourceVersion": before.version}
        return read_lease(await self._cluster.call("PUT", f"{self._root}/{names.LEASE_OPERATOR}", body=body))


def _path(ref: ObjectRef) -> str:
    root = "/api" if "/" not in ref.api_version else "/apis"
    return f"{root}/{ref.api_version}/namespaces/{ref.namespace}/{_PLURALS[ref.kind]}/{ref.name}"


def _scale(body: Mapping[str, Any]) -> Scale:
    return Scale(
        replicas=int((body.get("spec") or {}).get("replicas") or 0),
        resource_version=str(body["metadata"]["resourceVersion"]),
    )


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
