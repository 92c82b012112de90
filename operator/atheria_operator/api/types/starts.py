"""How pods start, phase by phase: status.start, status.coldStart and the starts before."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from pydantic import Field

from atheria_operator.api.types.fields import Part


class ServerStart(Part):
    """What happened inside the pod, as its server measured it."""

    importSeconds: float | None = Field(
        default=None, ge=0, description="From the worker's process to its imported libraries, in seconds."
    )
    loadSeconds: float | None = Field(
        default=None,
        ge=0,
        description="To a model that computes: its files, weights, precision and compilation, in seconds.",
    )
    warmupSeconds: float | None = Field(
        default=None, ge=0, description="To the last computed warm-up call, in seconds."
    )


class ColdStart(Part):
    """How long the last start of a first pod took, by phase."""

    pod: str = Field(description="Pod that was measured.")
    revision: str = Field(description="Name of its revision.")
    startedAt: str = Field(
        description="When the pod was created, RFC 3339 in UTC.", json_schema_extra={"format": "date-time"}
    )
    scheduledSeconds: float | None = Field(
        default=None, ge=0, description="From the pod's creation to a node, in seconds."
    )
    startedSeconds: float | None = Field(
        default=None,
        ge=0,
        description="From the node to a running container, image pull included, in seconds.",
    )
    readySeconds: float | None = Field(
        default=None,
        ge=0,
        description="From the running container to ready, load and warm-up included, in seconds.",
    )
    totalSeconds: float | None = Field(
        default=None, ge=0, description="From the pod's creation to ready, in seconds."
    )
    server: ServerStart | None = Field(
        default=None,
        description="The part of readySeconds that the pod's server measured, exactly; without its front's own start.",
    )


class PhaseSeconds(Part):
    """How long one phase of a start took."""

    phase: str = Field(max_length=64, description="Name of the phase, e.g. Pulling or Compiling.")
    seconds: float = Field(ge=0, description="Length in seconds.")


class Start(Part):
    """The start of the first pod of the revision that the spec asks for, while it lasts."""

    pod: str = Field(description="Pod that starts.")
    revision: str = Field(description="Name of its revision.")
    phase: str = Field(
        description="What it does now: WaitingForNode, WaitingForGPU, Pulling, Downloading, Loading, Compiling or Warming."
    )
    startedAt: str = Field(
        default="", description="When the pod was created, RFC 3339 in UTC. Default: empty."
    )
    since: str = Field(default="", description="When this phase began, RFC 3339 in UTC. Default: empty.")
    done: int | None = Field(
        default=None,
        ge=0,
        description="Parts of the phase that are done, bytes for Downloading; absent = not counted.",
        json_schema_extra={"format": "int64"},
    )
    total: int | None = Field(
        default=None,
        ge=0,
        description="All parts of the phase, bytes for Downloading; absent = not counted.",
        json_schema_extra={"format": "int64"},
    )
    detail: str | None = Field(
        default=None, max_length=256, description="The server's own words for what it does."
    )
    expectedAt: str | None = Field(
        default=None,
        description="When it should be ready, RFC 3339 in UTC: medians by phase of the last starts; absent without a history.",
    )
    phases: list[PhaseSeconds] = Field(
        default=[],
        max_length=16,
        description="Seconds of the phases that are over, at most 16.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["phase"]},
    )


class FinishedStart(Part):
    """One start of a first pod that became ready."""

    pod: str = Field(description="Pod that started.")
    revision: str = Field(description="Name of its revision.")
    startedAt: str = Field(
        default="", description="When the pod was created, RFC 3339 in UTC. Default: empty."
    )
    totalSeconds: float = Field(ge=0, description="From the pod's creation to ready, in seconds.")
    phases: list[PhaseSeconds] = Field(
        default=[],
        max_length=16,
        description="Seconds of each phase, at most 16.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["phase"]},
    )
