"""The type that a LitAPI wants its request in, by the annotation of `decode_request` (its spec's, where it has one).

LitServe has FastAPI make an object of that type in the front; `engine.bodies` sends its values to the worker, where
`engine.hooks` has pydantic make the object again.
"""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from atheria_server.core.errors import InvalidCallError


class RequestType:
    """Of one LitAPI; made once in the front and once in each worker."""

    def __init__(self, api: Any) -> None:
        owner = api if api.spec is None else api.spec
        parameters = inspect.signature(owner.decode_request, eval_str=True).parameters
        kind = parameters["request"].annotation if "request" in parameters else Any
        self._kind = None if kind in (inspect.Parameter.empty, Any, Request) else kind
        self.model: Any = kind if hasattr(kind, "model_validate") else None
        """The pydantic class; None = it is none."""
        self.is_json = api.spec is None and (self._kind is None or self.model is not None)
        """Whether a JSON body can be sent as its caller wrote it: nobody but pydantic has changed it."""

    def dump(self, value: Any) -> Any:
        """The values of an object of this type as JSON, fields by their own names. Raises TypeError or ValueError."""
        if self._kind is None:
            return value
        return self._adapter.dump_python(
            value, mode="json", by_alias=False, round_trip=True, exclude_unset=True, warnings=False
        )

    def load(self, dumped: bytes) -> Any:
        """The object of what `dump` gave, as JSON text. Raises InvalidCallError."""
        try:
            return self._adapter.validate_json(dumped, by_alias=False, by_name=True)
        except ValidationError as error:
            raise self._refusal(error) from error

    def make(self, value: Any) -> Any:
        """The object of the JSON that the caller sent; the JSON itself without a type. Raises InvalidCallError."""
        if self.model is None:
            return value
        try:
            return self.model.model_validate(value)
        except ValidationError as error:
            raise self._refusal(error) from error

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(Any if self._kind is None else self._kind)

    def _refusal(self, error: ValidationError) -> InvalidCallError:
        return InvalidCallError(
            f"the body does not make a {getattr(self._kind, '__name__', 'request')}: {error}"
        )
