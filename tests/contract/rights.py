"""Every right that the chart gives, each with the code that needs it. A right without code, or code without a right, fails a test.

Read by tests/contract/test_every_right_is_needed.py, which compares it with the rendered chart and looks the code up, and by
tests/integration/operator/test_rights.py, which asks a real API server.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from enum import Enum
from functools import reduce


class Scope(Enum):
    """Where a right holds."""

    MODELS = "in the namespaces of models: all of the cluster, or the named ones"
    CLUSTER = "for cluster-scoped objects"
    CLUSTER_IF_ALL = "for cluster-scoped objects, only where all namespaces are served"
    SYSTEM = "in the release's own namespace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Verbs on resources (`plural.group` or `plural.group/subresource`) for which one piece of code is the reason."""

    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    scope: Scope = Scope.MODELS
    code: str
    """`module:attribute`; its source, or that of the module, holds `witness`."""
    witness: str
    name: str = ""
    """Of the one object that it is for; empty = all."""

    def source(self) -> str:
        """The source text of `code`."""
        module, _, path = self.code.partition(":")
        return inspect.getsource(reduce(getattr, path.split("."), importlib.import_module(module)))


_WRITER = "atheria_operator.adapters.kube:KubeClusterWriter"
_CHILDREN = (
    "deployments.apps",
    "services.",
    "configmaps.",
    "serviceaccounts.",
    "horizontalpodautoscalers.autoscaling",
)
_MODELS = ("atheriamodels.atheria.dev",)
_SCALED_OBJECTS = ("scaledobjects.keda.sh",)
_KEEPER = "atheria_operator.runtime.scaled_objects:ScaledObjects"
_PROFILES = ("atheriahardwareprofiles.atheria.dev",)

OPERATOR = (
    Right(resources=_MODELS, verbs=("list", "watch"), code="atheria_operator.handlers.models:register_models",
          witness="kopf.daemon(*MODELS"),
    # The finalizer, put there by kopf and taken off by us where kopf was not told.
    Right(resources=_MODELS, verbs=("patch",), code=f"{_WRITER}.set_finalizers", witness='"finalizers"'),
    # Before its first object is made: whether it is this model and not one of the same name.
    Right(resources=_MODELS, verbs=("get",), code="atheria_operator.handlers.model_loops:ModelLoops",
          witness="cluster.read(model_ref("),
    Right(resources=("atheriamodels.atheria.dev/status",), verbs=("patch",), code=f"{_WRITER}.apply_status",
          witness="/status"),
    Right(resources=("atheriamodels.atheria.dev/scale", "deployments.apps/scale"), verbs=("get",),
          code=f"{_WRITER}.read_scale", witness='"GET"'),
    Right(resources=("atheriamodels.atheria.dev/scale", "deployments.apps/scale"), verbs=("patch",),
          code=f"{_WRITER}.write_scale", witness='"PATCH"'),
    Right(resources=("atheriamodels.atheria.dev/finalizers",), verbs=("update",),
          code="atheria_operator.domain.names:owned_metadata", witness='"blockOwnerDeletion": True'),
    Right(resources=_CHILDREN, verbs=("get",), code="atheria_operator.runtime.reconciler:Reconciler",
          witness="cluster.read(ref)"),
    Right(resources=_CHILDREN, verbs=("list", "watch"), code="atheria_operator.handlers.children:_register_child",
          witness="kopf.index(*selector"),
    # Server-side apply of what is not there yet is a create.
    Right(resources=_CHILDREN, verbs=("create", "patch"), code=f"{_WRITER}._apply", witness="apply-patch+yaml"),
    Right(resources=_CHILDREN, verbs=("delete",), code=f"{_WRITER}.delete", witness='"DELETE"'),
    Right(resources=_SCALED_OBJECTS, verbs=("get",), code=f"{_KEEPER}.keep", witness="cluster.read(self._ref)"),
    Right(resources=_SCALED_OBJECTS, verbs=("create", "patch"), code=f"{_KEEPER}.keep", witness="cluster.apply(wanted"),
    Right(resources=_SCALED_OBJECTS, verbs=("delete",), code=f"{_KEEPER}.remove", witness="cluster.delete(self._ref"),
    Right(resources=("pods.",), verbs=("list", "watch"), code="atheria_operator.handlers.children:register_children",
          witness="kopf.index(*PODS"),
    Right(resources=("pods.",), verbs=("patch",), code=f"{_WRITER}.set_deletion_cost",
          witness="names.ANNOTATION_DELETION_COST"),
    Right(resources=("events.",), verbs=("list",), code=f"{_WRITER}.events_of_pod", witness="/events"),
    Right(resources=("events.",), verbs=("create",), code="atheria_operator.handlers.model_loops:KopfEvents",
          witness="kopf.event("),
    Right(resources=_PROFILES, verbs=("list", "watch"), scope=Scope.CLUSTER,
          code="atheria_operator.handlers.children:register_children", witness="kopf.index(*PROFILES"),
    Right(resources=_PROFILES, verbs=("create", "patch"), scope=Scope.CLUSTER,
          code="atheria_operator.install_profiles:apply_profiles", witness="patch_cluster_custom_object"),
    Right(resources=("namespaces.", "customresourcedefinitions.apiextensions.k8s.io"), verbs=("list", "watch"),
          scope=Scope.CLUSTER_IF_ALL, code="atheria_operator.handlers.lifecycle:build_kopf_settings",
          witness="scanning.disabled = bool(settings.namespaces)"),
    Right(resources=("leases.coordination.k8s.io",), verbs=("create",), scope=Scope.SYSTEM,
          code="atheria_operator.adapters.kube:KubeLease.write", witness='"POST"'),
    Right(resources=("leases.coordination.k8s.io",), verbs=("get",), scope=Scope.SYSTEM, name="atheria-operator",
          code="atheria_operator.adapters.kube:KubeLease.read", witness='"GET"'),
    Right(resources=("leases.coordination.k8s.io",), verbs=("update",), scope=Scope.SYSTEM, name="atheria-operator",
          code="atheria_operator.adapters.kube:KubeLease.write", witness='"PUT"'),
)  # fmt: skip

_SWITCH = Right(resources=("deployments.apps",), verbs=("get",), scope=Scope.SYSTEM, name="atheria-gateway",
                code="atheria_operator.runtime.tls_switch:TlsSwitch.look", witness="cluster.read(self._gateway)")  # fmt: skip
_AUTHORITY = "atheria_operator.runtime.own_authority:OwnAuthority"

OPERATOR_WITH_AUTHORITY = (
    *OPERATOR,
    _SWITCH,
    # Server-side apply of what is not there yet is a create.
    Right(resources=("secrets.",), verbs=("create",), code=f"{_AUTHORITY}.keep", witness="build_model_secret(model"),
    Right(resources=("secrets.",), verbs=("patch",), code=f"{_WRITER}.look", witness="body={}"),
    Right(resources=("secrets.",), verbs=("get", "patch"), scope=Scope.SYSTEM, name="atheria-pod-authority",
          code=f"{_AUTHORITY}._load", witness="authority_secret("),
    Right(resources=("secrets.",), verbs=("get", "patch"), scope=Scope.SYSTEM, name="atheria-pod-client",
          code=f"{_AUTHORITY}._keep_client", witness="client_secret("),
)  # fmt: skip
"""With podTls.mode=internal."""

OPERATOR_WITH_CERT_MANAGER = (
    *OPERATOR,
    _SWITCH,
    Right(resources=("certificates.cert-manager.io",), verbs=("get", "create", "patch"),
          code="atheria_operator.runtime.cert_manager:CertManagerCertificates.keep", witness="build_certificate(model"),
)  # fmt: skip
"""With podTls.mode=cert-manager."""

GATEWAY = (
    Right(resources=(*_MODELS, "endpointslices.discovery.k8s.io"), verbs=("list",),
          code="atheria_gateway.adapters.kube:Kube._follow_one", witness='"GET"'),
    Right(resources=(*_MODELS, "endpointslices.discovery.k8s.io"), verbs=("watch",),
          code="atheria_gateway.adapters.kube:Kube._watch", witness='"watch": "true"'),
    Right(resources=("atheriamodels.atheria.dev/scale", "deployments.apps/scale"), verbs=("get", "patch"),
          code="atheria_gateway.adapters.kube:Kube.scale_from_zero", witness='"PATCH"'),
    Right(resources=("endpointslices.discovery.k8s.io",), verbs=("create", "patch"),
          code="atheria_gateway.adapters.kube:Kube.apply_slice", witness="apply-patch+yaml"),
    Right(resources=("pods.",), verbs=("list", "watch"), scope=Scope.SYSTEM,
          code="atheria_gateway.adapters.kube:Kube.__init__", witness="{pod_namespace}/pods"),
)  # fmt: skip

UNINSTALL = (
    Right(resources=_MODELS, verbs=("list",), code="atheria_operator.uninstall:Uninstaller.models",
          witness="list_namespaced_custom_object"),
    Right(resources=_MODELS, verbs=("patch",), code="atheria_operator.uninstall:Uninstaller.strip_finalizers",
          witness="patch_namespaced_custom_object"),
    Right(resources=("deployments.apps/scale",), verbs=("patch",), scope=Scope.SYSTEM, name="atheria-operator",
          code="atheria_operator.uninstall:Uninstaller.stop_operator", witness="patch_namespaced_deployment_scale"),
    Right(resources=("pods.",), verbs=("list",), scope=Scope.SYSTEM,
          code="atheria_operator.uninstall:Uninstaller.stop_operator", witness="list_namespaced_pod"),
    Right(resources=("leases.coordination.k8s.io",), verbs=("delete",), scope=Scope.SYSTEM, name="atheria-operator",
          code="atheria_operator.uninstall:Uninstaller.delete_lease", witness="delete_namespaced_lease"),
)  # fmt: skip

UNINSTALL_WITH_DEFINITIONS = (
    *UNINSTALL,
    Right(resources=_MODELS, verbs=("delete",), code="atheria_operator.uninstall:Uninstaller.delete_models",
          witness="delete_namespaced_custom_object"),
)  # fmt: skip
"""With crds.keep=false, where the models go with their definition."""

ACCOUNTS = {"operator": OPERATOR, "gateway": GATEWAY, "uninstall": UNINSTALL}
