from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DemandReport(_message.Message):
    __slots__ = ("gateway", "sequence", "models")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    sequence: int
    models: _containers.RepeatedCompositeFieldContainer[ModelDemand]
    def __init__(self, gateway: _Optional[str] = ..., sequence: _Optional[int] = ..., models: _Optional[_Iterable[_Union[ModelDemand, _Mapping]]] = ...) -> None: ...

class ModelDemand(_message.Message):
    __slots__ = ("namespace", "name", "held_requests", "in_flight_requests", "arrivals_total", "oldest_held_seconds", "revisions", "trace_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HELD_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    ARRIVALS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    OLDEST_HELD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    held_requests: int
    in_flight_requests: int
    arrivals_total: int
    oldest_held_seconds: float
    revisions: _containers.RepeatedCompositeFieldContainer[RevisionCalls]
    trace_id: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., held_requests: _Optional[int] = ..., in_flight_requests: _Optional[int] = ..., arrivals_total: _Optional[int] = ..., oldest_held_seconds: _Optional[float] = ..., revisions: _Optional[_Iterable[_Union[RevisionCalls, _Mapping]]] = ..., trace_id: _Optional[str] = ...) -> None: ...

class RevisionCalls(_message.Message):
    __slots__ = ("revision", "calls_total", "errors_total", "latency")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CALLS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ERRORS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    revision: str
    calls_total: int
    errors_total: int
    latency: _containers.RepeatedCompositeFieldContainer[LatencyBucket]
    def __init__(self, revision: _Optional[str] = ..., calls_total: _Optional[int] = ..., errors_total: _Optional[int] = ..., latency: _Optional[_Iterable[_Union[LatencyBucket, _Mapping]]] = ...) -> None: ...

class LatencyBucket(_message.Message):
    __slots__ = ("up_to_seconds", "calls_total")
    UP_TO_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CALLS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    up_to_seconds: float
    calls_total: int
    def __init__(self, up_to_seconds: _Optional[float] = ..., calls_total: _Optional[int] = ...) -> None: ...

class DemandAck(_message.Message):
    __slots__ = ("sequence", "models")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    models: int
    def __init__(self, sequence: _Optional[int] = ..., models: _Optional[int] = ...) -> None: ...
