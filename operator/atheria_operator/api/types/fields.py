"""Kinds of field that several parts of the API have: durations, preserved objects, rules of the API server."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

DURATION_PATTERN: Final = r"^[0-9]{1,9}(ms|s|m|h)$"
MAX_NAME_LENGTH: Final = 50
"""A Deployment's name adds a dash and ten digits, and must fit a label value of 63 characters."""
_DNS_NAME: Final = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_PYTHON_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"
FUNCTION_PATTERN: Final = f"^{_PYTHON_NAME}:{_PYTHON_NAME}$"
OBJECT_NAME_PATTERN: Final = f"^{_DNS_NAME}$"
SOURCE_PATTERN: Final = (
    r"^(builtin://[a-z0-9][a-z0-9._-]*"
    rf"|python://{_PYTHON_NAME}:{_PYTHON_NAME}"
    r"|file:///[^\s]+"
    rf"|pvc://{_DNS_NAME}(/[^\s]*)?"
    r"|hf://(/[^\s]+|[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(@[A-Za-z0-9_./-]+)?)"
    r"|(s3|gs)://[a-z0-9][a-z0-9._-]*/[^\s]+"
    r"|https://[A-Za-z0-9.-]+(:[0-9]+)?/[^\s]+"
    r"|oci://[a-z0-9][A-Za-z0-9._:/@-]*(#[^\s]+)?)$"
)
SOURCE_FORMS: Final = (
    "builtin://NAME or python://package.module:LitAPIClass, or a model's files: file:///PATH, pvc://CLAIM/PATH, "
    "hf://OWNER/NAME@REVISION, s3://BUCKET/KEY, gs://BUCKET/KEY, https://HOST/PATH, oci://IMAGE#PATH"
)


def refusal(rule: str, message: str) -> dict[str, Any]:
    """Schema keys by which the API server refuses what does not fulfil the CEL `rule`, with `message`.

    No messageExpression: the API server takes the text of a number for endlessly long, and refuses the whole definition.
    """
    return {"x-kubernetes-validations": [{"rule": rule, "message": message}]}


def refusals(*given: dict[str, Any]) -> dict[str, Any]:
    """Several of `refusal` as one."""
    return {"x-kubernetes-validations": [rule for one in given for rule in one["x-kubernetes-validations"]]}


def _bounded_duration(longest: str) -> dict[str, Any]:
    """A rule that refuses durations above `longest`, in the API server."""
    return refusal(
        f"!self.matches('{DURATION_PATTERN}') || duration(self) <= duration('{longest}')",
        f"the duration must be at most {longest}",
    )


ShortDuration = Annotated[
    str, Field(pattern=DURATION_PATTERN, max_length=12, json_schema_extra=_bounded_duration("60s"))
]
LongDuration = Annotated[
    str, Field(pattern=DURATION_PATTERN, max_length=12, json_schema_extra=_bounded_duration("24h"))
]
BYTES_PATTERN: Final = r"^$|^[0-9]{1,15}(\.[0-9]{1,3})?(k|Ki|M|Mi|G|Gi|T|Ti)?$"
Bytes = Annotated[str, Field(pattern=BYTES_PATTERN, max_length=24)]
"""A quantity of bytes such as 6Gi, or empty."""
Preserved = Annotated[Any, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
PreservedObject = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "additionalProperties": None}),
]


class Part(BaseModel):
    """A part of a resource: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
