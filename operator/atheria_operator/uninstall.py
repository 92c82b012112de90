"""Leave nothing behind that cannot be deleted: what the chart runs before `helm uninstall` removes the operator.

The operator puts a finalizer on every AtheriaModel. When it is gone, nobody takes it off, and the deletion of a
model, of its namespace or of the definition hangs for ever. So the chart's pre-delete Job runs
`python -m atheria_operator.uninstall`: it deletes the models (only with `--models=delete`, while the operator still
cleans up after them), stops the operator so that it cannot put finalizers back, deletes its Lease, then takes the
finalizers off what is left.
Every wait is bounded, and none needs a healthy operator.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kubernetes import client, config

from atheria_contract import names

_LOG = logging.getLogger("atheria.uninstall")
_REQUEST_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.5
_NOT_FOUND = 404
_CONFLICT = 409
_ATTEMPTS = 5


def finalizers_without_ours(metadata: Mapping[str, Any]) -> list[str]:
    """The finalizers that others put there, in their order."""
    return [entry for entry in metadata.get("finalizers") or [] if entry != names.FINALIZER]


class Uninstaller:
    """The steps, each bounded by its share of one deadline; `now` and `sleep` are the clock."""

    def __init__(
        self,
        *,
        objects: client.CustomObjectsApi,
        apps: client.AppsV1Api,
        core: client.CoreV1Api,
        leases: client.CoordinationV1Api,
        namespaces: Sequence[str] = (),
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`namespaces` are those whose models were served; empty = all of the cluster."""
        self._objects = objects
        self._namespaces = namespaces
        self._apps = apps
        self._core = core
        self._leases = leases
        self._now = now
        self._sleep = sleep

    def run(self, *, namespace: str, deployment: str, delete_models: bool, timeout_seconds: float) -> None:
        """All steps. Raises client.ApiException where the API server refuses, TimeoutError never."""
        if delete_models:
            self.delete_models(timeout_seconds=timeout_seconds / 2)
        self.stop_operator(namespace, deployment, timeout_seconds=timeout_seconds / 4)
        self.delete_lease(namespace)
        self.strip_finalizers()

    def models(self) -> list[Mapping[str, Any]]:
        """Every AtheriaModel that was served; none when the definition is gone."""
        kind = (names.GROUP, names.VERSION)
        wait = {"_request_timeout": _REQUEST_TIMEOUT_SECONDS}
        try:
            if not self._namespaces:
                return list(
                    self._objects.list_cluster_custom_object(*kind, names.MODEL_PLURAL, **wait)["items"]
                )
            return [
                model
                for namespace in self._namespaces
                for model in self._objects.list_namespaced_custom_object(
                    *kind, namespace, names.MODEL_PLURAL, **wait
                )["items"]
            ]
        except client.ApiException as error:
            if error.status == _NOT_FOUND:
                return []
            raise

    def delete_models(self, *, timeout_seconds: float) -> None:
        """Delete every model and wait for the operator to let them go; those left are stripped later."""
        for model in self.models():
            namespace, name = model["metadata"]["namespace"], model["metadata"]["name"]
            self._ignoring_absence(
                partial(
                    self._objects.delete_namespaced_custom_object,
                    names.GROUP,
                    names.VERSION,
                    namespace,
                    names.MODEL_PLURAL,
                    name,
                    _request_timeout=_REQUEST_TIMEOUT_SECONDS,
                )
            )
            _LOG.info("deleting %s/%s", namespace, name)
        if not self._wait(lambda: not self.models(), timeout_seconds):
            _LOG.warning("models are still there after %g s: taking their finalizers off", timeout_seconds)

    def stop_operator(self, namespace: str, deployment: str, *, timeout_seconds: float) -> None:
        """Scale the operator to zero and wait for its pods; goes on after `timeout_seconds` all the same."""
        self._ignoring_absence(
            lambda: self._apps.patch_namespaced_deployment_scale(
                deployment, namespace, {"spec": {"replicas": 0}}, _request_timeout=_REQUEST_TIMEOUT_SECONDS
            )
        )
        selector = f"{names.LABEL_COMPONENT}=operator,{names.LABEL_PART_OF}=atheria"

        def gone() -> bool:
            pods = self._core.list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=_REQUEST_TIMEOUT_SECONDS
            )
            return not pods.items

        if self._wait(gone, timeout_seconds):
            _LOG.info("the operator is stopped")
        else:
            _LOG.warning(
                "the operator's pod is still there after %g s: going on without waiting", timeout_seconds
            )

    def delete_lease(self, namespace: str) -> None:
        """The operator made it, so Helm does not know of it."""
        self._ignoring_absence(
            lambda: self._leases.delete_namespaced_lease(
                names.LEASE_OPERATOR, namespace, _request_timeout=_REQUEST_TIMEOUT_SECONDS
            )
        )

    def strip_finalizers(self) -> None:
        """Take our finalizer off every model; other finalizers stay. A concurrent change is retried."""
        for attempt in range(1, _ATTEMPTS + 1):
            marked = [m for m in self.models() if names.FINALIZER in (m["metadata"].get("finalizers") or [])]
            if not marked:
                return
            for model in marked:
                metadata = model["metadata"]
                patch = {
                    "metadata": {
                        "finalizers": finalizers_without_ours(metadata) or None,
                        "resourceVersion": metadata["resourceVersion"],
                    }
                }
                try:
                    self._ignoring_absence(
                        partial(
                            self._objects.patch_namespaced_custom_object,
                            names.GROUP,
                            names.VERSION,
                            metadata["namespace"],
                            names.MODEL_PLURAL,
                            metadata["name"],
                            patch,
                            _content_type="application/merge-patch+json",
                            _request_timeout=_REQUEST_TIMEOUT_SECONDS,
                        )
                    )
                except client.ApiException as error:
                    if error.status != _CONFLICT or attempt == _ATTEMPTS:
                        raise
                    continue
                _LOG.info("took the finalizer off %s/%s", metadata["namespace"], metadata["name"])

    def _wait(self, done: Callable[[], bool], timeout_seconds: float) -> bool:
        deadline = self._now() + timeout_seconds
        while not done():
            if self._now() > deadline:
                return False
            self._sleep(_POLL_SECONDS)
        return True

    def _ignoring_absence(self, call: Callable[[], object]) -> None:
        try:
            call()
        except client.ApiException as error:
            if error.status != _NOT_FOUND:
                raise


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when no finalizer of ours is left, 1 with one line of explanation otherwise."""
    parser = argparse.ArgumentParser(prog="atheria_operator.uninstall", description=__doc__)
    parser.add_argument("--namespace", required=True, help="namespace of the operator's Deployment")
    parser.add_argument("--deployment", required=True, help="name of the operator's Deployment")
    parser.add_argument("--models", choices=("keep", "delete"), default="keep")
    parser.add_argument(
        "--namespaces", default="", help="namespaces that were served, with commas between; all by default"
    )
    parser.add_argument("--timeout-seconds", type=float, default=100.0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config.load_config()
    uninstaller = Uninstaller(
        objects=client.CustomObjectsApi(),
        apps=client.AppsV1Api(),
        core=client.CoreV1Api(),
        leases=client.CoordinationV1Api(),
        namespaces=[part for part in options.namespaces.split(",") if part],
    )
    try:
        uninstaller.run(
            namespace=options.namespace,
            deployment=options.deployment,
            delete_models=options.models == "delete",
            timeout_seconds=options.timeout_seconds,
        )
    except client.ApiException as error:
        _LOG.error("refused by the API server: HTTP %s %s", error.status, error.body)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
