"""What sleeps: status.standby."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from pydantic import Field

from atheria_operator.api.types.fields import Part


class StandbyStatus(Part):
    """Pods that sleep (spec.scaling.scaleToZero.mode)."""

    replicas: int = Field(ge=0, description="Pods of the active revision that sleep: loaded, not ready.")
    freedBytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes of device memory that their sleep freed, as their servers measured; all pods together.",
        json_schema_extra={"format": "int64"},
    )
    hostBytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes of the hosts' memory that are taken for it.",
        json_schema_extra={"format": "int64"},
    )
    note: str | None = Field(
        default=None, max_length=512, description="Why no more was freed, in a server's words."
    )
