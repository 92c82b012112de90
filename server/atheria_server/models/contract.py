"""What a LitAPI may implement so that the server knows its tensors; written for authors of models.

A *described* model is a `litserve.LitAPI` that also has the methods of `DescribedModel`. `is_described` decides it
once at start. A LitAPI without them still works: `decode_request` gets `{name: array}`, LitServe's hooks run in
LitServe's order, and what `encode_response` returns becomes the outputs (see PlainOptions).

Where the methods run
    front process  `metadata`, `validate`, `warmup_calls`: no torch, fast, no state of `setup`.
    worker process `setup(device)`, `predict(batch)`, `stream_frames(batch)`.

Both processes import the module and build the class by `MyApi(parameters, digest=digest)` with those of the two that
its `__init__` names: the mapping of `--set` / `spec.model.parameters`, and `sha256:<hex>` of the weights or "". Import
torch only inside `setup`, `predict` and `stream_frames` (a module of their own is the easy way), or every start pays
for it twice.

Arrays are numpy. Datatype BYTES is an object array of `bytes`, BF16 is `core.tensors.BF16` (`float32_of` and
`bfloat16_of` there convert); everything else is the numpy type of the same name. Arrays given to `predict` and `stream_frames` are read-only views of shared memory: copy before writing to them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

import numpy.typing as npt

from atheria_server.core.padding import LengthPadding

Scalar = str | int | float | bool
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]
Parameters = Mapping[str, Scalar]


TENSOR_LIBRARIES: Final = ("numpy", "torch")


class PlainOptions(Protocol):
    """What a LitAPI without the methods of DescribedModel may set to get tensors as it likes them.

    Without either, `decode_request` gets arrays of its own that it may keep and change; BF16 comes as float32 (exact).
    The outputs are numpy arrays, torch tensors on any device, numbers, texts, or lists of these, alone or in a mapping
    by name. Overriding `decode_request` and `encode_response` changes all of this.
    """

    oip_tensors: ClassVar[Literal["numpy", "torch"]]
    """`torch`: CPU tensors that share the array's memory, BF16 as torch.bfloat16; BYTES stays an object array."""
    oip_views: ClassVar[bool]
    """True: no copy; arrays are read-only views of memory shared with the front, and hold until the call's answer.
    torch cannot know that a tensor is read-only: `clone` it before anything in place. Streams and async LitAPIs get
    copies all the same."""


class InvalidRequestError(ValueError):
    """The caller's tensors or parameters cannot be used: INVALID_ARGUMENT / 400.

    The message goes to the caller unchanged: name the tensor or parameter, its value, what is allowed.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output as ModelMetadata shows it."""

    name: str
    datatype: str
    """OIP name: BOOL, UINT8..UINT64, INT8..INT64, FP16, BF16, FP32, FP64, BYTES."""
    shape: tuple[int, ...]
    """With the batch dimension first; -1 = any."""
    optional: bool = False
    """An input that a call may leave out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """Inputs (those a call may leave out included) and outputs of a model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    """Inputs that callers may expect of such a model and this one has not, and why: for the refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidCall:
    """A checked call, as `validate` returns it."""

    inputs: Arrays
    """Every array has `rows` as its first dimension. Calls with an equal `batch_key` must have the same names,
    dtypes and trailing shapes: they are concatenated along axis 0. Add what the caller left out (`seed` zeros), and
    turn parameters that may differ within a batch into arrays here (`noise` -> FP64 [rows])."""
    parameters: Parameters = field(default_factory=dict)
    """Parameters with defaults filled in; must be equal for all calls of an equal `batch_key`."""
    rows: int = 1
    """Rows this call takes in a batch, >= 1."""
    batch_key: Hashable = ()
    """Calls may share a batch only if this is equal (e.g. `("qca", height, width, steps)`). Names, dtypes and
    trailing shapes are compared by the server itself in addition."""
    padding: LengthPadding | None = None
    """Set it where sequences of different lengths may share a batch; the server pads and cuts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Several calls as one, as `predict` gets it; or one call, as `stream_frames` gets it."""

    inputs: Arrays
    """As in ValidCall, concatenated: first dimension = `rows`."""
    parameters: Parameters
    """Of the first call (all are equal)."""
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One streamed answer."""

    outputs: Arrays
    parameters: Parameters = field(default_factory=dict)
    """Sent as the answer's OIP parameters, e.g. `{"step": 8}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupCall:
    """A call that the server makes before it says ready; goes through `validate` like any other."""

    inputs: Arrays
    parameters: Parameters = field(default_factory=dict)


@runtime_checkable
class DescribedModel(Protocol):
    """The methods, beside LitServe's `setup(device)`; see the module's text for where each one runs."""

    def metadata(self) -> ModelMetadata:
        """Names, datatypes and shapes for ModelMetadata."""

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Check one call before it is queued. `streaming` = it came by ModelStreamInfer.

        Raises InvalidRequestError. Nothing that passes may fail in the worker for the caller's fault.
        """

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Calls of `rows` rows each to make before ready: one per shape (of one row, without the batch dimension,
        e.g. (16, 64, 64)); an empty `shapes` means the model's own default. Raises InvalidRequestError for a shape
        that the model cannot compute."""

    def predict(self, batch: Batch) -> Arrays:
        """Worker: outputs by name, each with first dimension `batch.rows`, row i from input row i only."""

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """Worker: frames of one call. The server may close the generator between frames (caller gone), and runs
        other batches between two frames."""


@runtime_checkable
class SlowlyChecked(Protocol):
    """A described model some of whose calls take long to check."""

    def checks_slowly(self, inputs: Arrays, parameters: Parameters) -> bool:
        """Front: whether `validate` of this call would hold the event loop up for more than some milliseconds. It then runs
        in a thread of the front, where it must let go of the interpreter's lock. Fast itself; nothing of the call is checked yet."""


@runtime_checkable
class DeviceSharing(Protocol):
    """A described model that plans how much of its device's memory it takes."""

    workers_on_device: int
    """Worker: set before `setup`; so many hold the model on the device at a time."""


class ReadyFrames(Protocol):
    """What `stream_frames` of a ContinuousModel gives: an iterator that the worker advances while it is `ready`, however slow
    the reader; there must be a bounded number of frames.

    Its `close` ends the call; whatever the call holds is free then.
    """

    @property
    def ready(self) -> bool:
        """Whether `next` gives a frame, the end or a failure at once."""

    def __next__(self) -> Frame:
        """Raises StopIteration behind the last frame."""

    def close(self) -> None:
        """Nobody waits any more. May be called after the end, too."""


@runtime_checkable
class ContinuousModel(Protocol):
    """A described model whose calls share steps: all that run at a time are one batch, which calls enter and leave at any step.

    Every call of the protocol then reaches `stream_frames`; one that came by ModelInfer has a single frame. The worker calls
    `step` between messages while `has_work`, and takes the frames of those that are ready. `predict` is for the warm-up only.
    """

    @property
    def places(self) -> int:
        """Front: calls that a worker may have at a time; further ones wait in the front's queue."""

    @property
    def has_work(self) -> bool:
        """Worker: whether `step` would do anything."""

    def step(self) -> None:
        """Worker: go on with every call, for a few milliseconds up to a second. A call's failure is raised by its own frames;
        what is raised here ends all calls."""

    def report(self) -> Mapping[str, Any]:
        """Worker: what the metrics are told (`models.text.counts`), at most each second and when the work ends."""


@runtime_checkable
class BoundedUnread(Protocol):
    """A continuous model that says what may wait for slow readers."""

    unread_bytes: int
    """Front: of the frames of a worker's calls that nobody has read; beyond it the call whose reader is furthest behind ends."""


@runtime_checkable
class CacheKeeping(Protocol):
    """A continuous model that keeps keys and values of its calls."""

    def check_device(self) -> None:
        """Worker, once the weights are what is served. Raises ModelRefusedError for what is asked of a device that cannot do it."""

    def cache_report(self) -> Mapping[str, Any]:
        """Worker, as above: see `core.cache_report`."""


def is_continuous(api: object) -> bool:
    """Whether `api` has all the methods of ContinuousModel (their presence only)."""
    return is_described(api) and isinstance(api, ContinuousModel)


def is_described(api: object) -> bool:
    """Whether `api` has all the methods of DescribedModel (their presence only)."""
    return isinstance(api, DescribedModel)
