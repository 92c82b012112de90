"""What can stop a model: one table of reasons, whether time or another try may mend each, and who has to act otherwise.

`domain.pods` finds the reasons, `status.summary` shows `status.fault`, docs/operator.md prints the table (a test compares them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One reason."""

    is_retriable: bool
    """Time or another try may mend it without anybody acting."""
    next_step: str
    """What a person does about it."""


FAULTS: Final[Mapping[str, Fault]] = {
    # The spec, or what it names.
    "InvalidSpec": Fault(is_retriable=False, next_step="correct the field that the message names"),
    "InvalidProfile": Fault(is_retriable=False, next_step="correct the hardware profile"),
    "UnknownSource": Fault(is_retriable=False, next_step="name a model that exists"),
    "ProfileNotFound": Fault(
        is_retriable=False, next_step="create the profile or name another; it is found at once"
    ),
    "DoesNotFit": Fault(is_retriable=False, next_step="lower batch size or precision, or name a larger profile"),
    "NoProfileFits": Fault(is_retriable=False, next_step="lower batch size or precision, or create a profile"),
    "DeviceConflict": Fault(is_retriable=False, next_step="ask for whole GPUs or for MIG slices, of one profile"),
    "NoStandbyKey": Fault(
        is_retriable=False, next_step="set the chart's value standby.secretName, or scaleToZero.mode delete"
    ),
    "OwnCertificate": Fault(is_retriable=False, next_step="leave ATHERIA_TLS_* out of podTemplate"),
    "NoCertManager": Fault(is_retriable=False, next_step="install cert-manager, or set the chart's value podTls.mode"),
    "CertificateNotReady": Fault(is_retriable=True, next_step="wait, or see why cert-manager does not issue it"),
    "ForeignAnnotation": Fault(is_retriable=False, next_step="set the field that the message names instead"),
    "NameConflict": Fault(is_retriable=False, next_step="delete the object, or give the model another name"),
    "Refused": Fault(is_retriable=False, next_step="correct podTemplate, profile, quota or policy"),
    "QualityRejected": Fault(is_retriable=False, next_step="choose a precision that keeps the quality"),
    "PrecisionUnsupported": Fault(
        is_retriable=False, next_step="choose a precision that the hardware computes"
    ),
    "CompileFailed": Fault(is_retriable=False, next_step="set compile.mode to off, or correct the model"),
    "WarmupFailed": Fault(is_retriable=False, next_step="correct the warm-up requests or hooks"),
    "DigestMismatch": Fault(is_retriable=False, next_step="correct model.digest, or find out who changed the files"),
    "WeightsInvalid": Fault(is_retriable=False, next_step="correct the files of the model"),
    "InvalidImageName": Fault(is_retriable=False, next_step="correct the image"),
    # The model's own code: it may be a passing fault, and the kubelet starts it again.
    "ModelFailed": Fault(is_retriable=True, next_step="read the message and kubectl logs --previous"),
    "OutOfMemory": Fault(is_retriable=True, next_step="raise the memory limit, or lower batch size or precision"),
    "SourceUnavailable": Fault(is_retriable=True, next_step="wait, or see whether the source is reachable"),
    # The cluster.
    "Unschedulable": Fault(is_retriable=True, next_step="free or add a node of the profile"),
    "TriggeredScaleUp": Fault(is_retriable=True, next_step="wait for the node"),
    "Nominated": Fault(is_retriable=True, next_step="wait for the node"),
    "NotTriggerScaleUp": Fault(
        is_retriable=True, next_step="see why no node pool fits: its maximum, labels, taints or zones"
    ),
    "FailedScaleUp": Fault(is_retriable=True, next_step="see quota and stock of the cloud, or name another profile"),
    "ImagePullFailed": Fault(is_retriable=True, next_step="see the image's name, its registry and the pull secrets"),
    "ContainerNotStarted": Fault(is_retriable=True, next_step="create what the message says is missing"),
    "VolumeNotMounted": Fault(is_retriable=True, next_step="see the claim, the Secret or the ConfigMap that is named"),
    "SandboxFailed": Fault(is_retriable=True, next_step="see the node's network plugin and container runtime"),
    "PodRefused": Fault(is_retriable=True, next_step="raise the quota, or change the policy that refuses"),
    "PodStuck": Fault(is_retriable=True, next_step="see whether its node is lost; delete it with --force once its device is free"),
    "PodFailed": Fault(is_retriable=True, next_step="see why the pod was ended, e.g. pressure on its node"),
}  # fmt: skip

SERVER_REFUSALS: Final = frozenset(
    {
        "QualityRejected",
        "PrecisionUnsupported",
        "CompileFailed",
        "WarmupFailed",
        "DigestMismatch",
        "WeightsInvalid",
        "SourceUnavailable",
    }
)
"""Those that a server names itself, as the first word of its last line."""
PERMANENT: Final = frozenset(reason for reason, fault in FAULTS.items() if not fault.is_retriable)


def is_retriable(reason: str) -> bool:
    """Whether time or another try may mend it; what is not in the table may."""
    fault = FAULTS.get(reason)
    return fault is None or fault.is_retriable
