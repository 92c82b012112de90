"""Calls for soaks, made from a seeded generator: good ones with a tag of their own, and wrong ones of every kind we know."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from atheria_contract.generated import inference_pb2 as pb

MODEL = "m"
QUEUE_ROWS = 64
# A full queue refuses a wrong call unread.
INVALID = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"})
UNKNOWN = frozenset({"NOT_FOUND", "RESOURCE_EXHAUSTED"})
Change = Callable[[Random, Any], None]
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A call that the model can answer."""

    tag: int
    rows: int
    width: int
    parameters: dict[str, Any]

    @property
    def x(self) -> Any:
        """FP32 [rows, width]."""
        return np.full((self.rows, self.width), self.tag, np.float32)

    def message(self) -> Any:
        """As a ModelInferRequest."""
        message = pb.ModelInferRequest(model_name=MODEL, id=str(self.tag))
        message.inputs.add(name="x", datatype="FP32", shape=self.x.shape)
        message.raw_input_contents.append(self.x.tobytes())
        for name, value in self.parameters.items():
            field = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
            setattr(message.parameters[name], field[type(value)], value)
        return message

    def document(self) -> dict[str, Any]:
        """As JSON for REST."""
        item = {
            "name": "x",
            "datatype": "FP32",
            "shape": [self.rows, self.width],
            "data": self.x.ravel().tolist(),
        }
        return {"id": str(self.tag), "inputs": [item], "parameters": self.parameters}

    def binary(self) -> tuple[bytes, dict[str, str]]:
        """As a body with the binary tensor extension, and its headers."""
        document = self.document()
        del document["inputs"][0]["data"]
        document["inputs"][0]["parameters"] = {"binary_data_size": self.x.nbytes}
        document["parameters"] = {**self.parameters, "binary_data_output": True}
        head = json.dumps(document).encode()
        return head + self.x.tobytes(), {HEADER_LENGTH: str(len(head))}

    def is_answered_by(self, y: Any) -> bool:
        """Whether the answer is that of this call and no other."""
        return y.shape == (self.rows, self.width) and bool(np.all(y == 2 * self.tag))


def good(random: Random, tag: int) -> Good:
    """Mostly small; a few have a megabyte."""
    width = random.choice([1, 1, 1, 2, 7, 64, 64]) if random.random() < 0.97 else 2**18
    rows = random.choice([1, 1, 1, 2, 4]) if width < 2**18 else 1
    parameters = {"work": random.choice([0.001, 0.004])} if random.random() < 0.3 else {}
    return Good(tag=tag, rows=rows, width=width, parameters=parameters)


def garbage(random: Random) -> bytes:
    """Bytes that mean nothing."""
    return random.randbytes(random.choice([0, 1, 7, 64, 4096]))


def damaged(random: Random, data: bytes) -> bytes:
    """Some bytes changed, taken out or put in, or the end cut off."""
    found = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(found) + 1)
        match random.randrange(4):
            case 0 if at < len(found):
                found[at] ^= 1 << random.randrange(8)
            case 1:
                del found[at : at + random.randint(1, 9)]
            case 2:
                found[at:at] = random.randbytes(random.randint(1, 9))
            case _:
                del found[max(at, 1) :]
    return bytes(found)


def with_tag(data: bytes, tag: int) -> bytes:
    """Damaged bytes as they are, unless they are a message still: its numbers are the tag again, so that none is taken for another call."""
    message = pb.ModelInferRequest()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return data
    for at, raw in enumerate(message.raw_input_contents):
        numbers = np.full(len(raw) // 4, tag, np.float32).tobytes()
        message.raw_input_contents[at] = numbers + raw[len(numbers) :]
    for one in message.inputs:
        one.contents.fp32_contents[:] = [tag] * len(one.contents.fp32_contents)
    return bytes(message.SerializeToString())


# Changes that make a good ModelInferRequest wrong, and what it must be answered with.


def _datatype(random: Random, m: Any) -> None:
    m.inputs[0].datatype = random.choice(["FP64", "INT64", "BYTES", "BOOL", "FP33", "", "fp32", "FP32\0"])


def _shape(random: Random, m: Any) -> None:
    del m.inputs[0].shape[:]
    huge = 2**62
    m.inputs[0].shape.extend(
        random.choice(
            [
                *([], [0], [-1, 1], [huge, huge], [huge, 2], [2**31, 2**31], [2**63 - 1], [0, huge]),
                *([1, 1, 1], [1] * 100, [3, 5], [-(2**63), 1]),
            ]
        )
    )
    m.raw_input_contents[0] = b"\0" * random.choice([0, 1, 4])


def _short(random: Random, m: Any) -> None:
    raw = m.raw_input_contents[0]
    m.raw_input_contents[0] = raw[: random.randrange(len(raw))]


def _long(random: Random, m: Any) -> None:
    m.raw_input_contents[0] += random.randbytes(random.randint(1, 9))


def _counts(random: Random, m: Any) -> None:
    m.raw_input_contents.extend([b"\0\0\0\0"] * random.randint(1, 3))


def _twice(random: Random, m: Any) -> None:
    m.inputs.add().CopyFrom(m.inputs[0])
    m.raw_input_contents.append(m.raw_input_contents[0])


def _stranger(random: Random, m: Any) -> None:
    m.inputs[0].name = random.choice(["", "X", "x\0", "é" * 1000, "%s%n{0}", "\u202e"])


def _no_inputs(random: Random, m: Any) -> None:
    del m.inputs[:]
    del m.raw_input_contents[:]


def _many_inputs(random: Random, m: Any) -> None:
    for number in range(2000):
        m.inputs.add(name=str(number), datatype="FP32", shape=[1])
        m.raw_input_contents.append(b"\0\0\0\0")


def _no_data(random: Random, m: Any) -> None:
    del m.raw_input_contents[:]


def _wrong_field(random: Random, m: Any) -> None:
    del m.raw_input_contents[:]
    m.inputs[0].contents.int64_contents.extend([1, 2])


def _output(random: Random, m: Any) -> None:
    m.outputs.add(name=random.choice(["", "z", "y\n"]))


def _parameter(random: Random, m: Any) -> None:
    m.parameters[random.choice(["", "colour", "x" * 10_000])].int64_param = 1


def _empty_parameter(random: Random, m: Any) -> None:
    m.parameters["count"].SetInParent()


def _timeout(random: Random, m: Any) -> None:
    if random.random() < 0.5:
        m.parameters["timeout"].int64_param = -1
    else:
        m.parameters["timeout"].string_param = "soon"


def _rows(random: Random, m: Any) -> None:
    rows = QUEUE_ROWS + 1
    del m.inputs[0].shape[:]
    m.inputs[0].shape.extend([rows, 1])
    m.raw_input_contents[0] = b"\0" * (4 * rows)


def _name(random: Random, m: Any) -> None:
    m.model_name = random.choice(["", "M", "m ", "../m", "m" * 5000])


def _version(random: Random, m: Any) -> None:
    m.model_version = random.choice(["2", "latest", "-1"])


WRONG_MESSAGES: dict[str, tuple[Change, frozenset[str]]] = {
    change.__name__.strip("_"): (change, codes)
    for codes, changes in (
        (
            INVALID,
            (
                *(_datatype, _shape, _short, _long, _counts, _twice, _stranger, _no_inputs, _many_inputs),
                *(_no_data, _wrong_field, _output, _parameter, _empty_parameter, _timeout, _rows),
            ),
        ),
        (UNKNOWN, (_name, _version)),
    )
    for change in changes
}


def wrong_message(random: Random, tag: int) -> tuple[str, Any, frozenset[str]]:
    """Kind, ModelInferRequest, and the codes that answer it."""
    kind = random.choice(sorted(WRONG_MESSAGES))
    change, codes = WRONG_MESSAGES[kind]
    message = Good(tag=tag, rows=1, width=2, parameters={}).message()
    change(random, message)
    return kind, message, codes


_X: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}
WRONG_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"inputs":[{"name":"x","datatype":"FP32","sha',
    "array": b"[]",
    "text": b'"x"',
    "number": b"1e999",
    "deep": b"[" * 100_000,
    "deep data": b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":'
    + b"[" * 500
    + b"1"
    + b"]" * 500
    + b"}]}",
    "latin": b'{"id":"\xff"}',
    "long number": b'{"id":' + b"9" * 10_000 + b"}",
    "byte order mark": b"\xef\xbb\xbf{}",
} | {
    kind: json.dumps(document).encode()
    for kind, document in {
        "no inputs": {},
        "inputs that are no list": {"inputs": {"x": 1}},
        "inputs that are no objects": {"inputs": [1, None]},
        "no name": {"inputs": [{k: v for k, v in _X.items() if k != "name"}]},
        "surrogate": {"inputs": [_X | {"name": "\ud800"}]},
        "datatype": {"inputs": [_X | {"datatype": 7}]},
        "other datatype": {"inputs": [_X | {"datatype": "INT8", "data": [1, 2]}]},
        "overflow": {"inputs": [_X | {"datatype": "UINT8", "data": [-1, 256]}]},
        "shape": {"inputs": [_X | {"shape": "1,2"}]},
        "float shape": {"inputs": [_X | {"shape": [1.0, 2.0]}]},
        "true shape": {"inputs": [_X | {"shape": [True, 2]}]},
        "huge": {"inputs": [_X | {"shape": [2**62, 2**62]}]},
        "beyond int64": {"inputs": [_X | {"shape": [10**30]}]},
        "negative": {"inputs": [_X | {"shape": [-1, -2]}]},
        "huge and empty": {"inputs": [_X | {"shape": [0, 2**62], "data": []}]},
        "too few": {"inputs": [_X | {"data": [1.0]}]},
        "ragged": {"inputs": [_X | {"data": [[1.0], [2.0, 3.0]]}]},
        "objects": {"inputs": [_X | {"data": [{}, {}]}]},
        "texts": {"inputs": [_X | {"data": ["a", "b"]}]},
        "twice": {"inputs": [_X, _X]},
        "stranger": {"inputs": [_X | {"name": "z"}]},
        "unknown output": {"inputs": [_X], "outputs": [{"name": "z"}]},
        "output without name": {"inputs": [_X], "outputs": [{}]},
        "parameters": {"inputs": [_X], "parameters": [1]},
        "nested parameter": {"inputs": [_X], "parameters": {"count": {}}},
        "unknown parameter": {"inputs": [_X], "parameters": {"colour": 1}},
        "negative timeout": {"inputs": [_X], "parameters": {"timeout": -1}},
        "no number as timeout": {"inputs": [_X], "parameters": {"timeout": 0.5}},
        "too many rows": {"inputs": [_X | {"shape": [QUEUE_ROWS + 1, 1], "data": [0.0] * (QUEUE_ROWS + 1)}]},
    }.items()
}


def wrong_body(random: Random) -> tuple[str, bytes]:
    """Kind, and a JSON body that must be refused as invalid."""
    kind = random.choice(sorted(WRONG_BODIES))
    return kind, WRONG_BODIES[kind]


def wrong_binary(random: Random, tag: int) -> tuple[str, bytes, dict[str, str]]:
    """Kind, body and headers of a binary request that must be refused as invalid."""
    body, headers = Good(tag=tag, rows=2, width=3, parameters={}).binary()
    length = int(headers[HEADER_LENGTH])
    kind = random.choice(["length", "cut", "more", "size", "huge size", "packed"])
    match kind:
        case "length":
            wrong = random.choice(["x", "-1", "0", "1e3", "²", "9" * 5000, str(len(body) + 1), "", "0x10"])
            headers = {HEADER_LENGTH: wrong}
        case "cut":
            body = body[: random.randrange(length, len(body))]
        case "more":
            body += random.randbytes(random.randint(1, 9))
        case "size" | "huge size":
            size = b"23" if kind == "size" else b"9223372036854775808"
            head = body[:length].replace(b'"binary_data_size": 24', b'"binary_data_size": ' + size)
            body, headers = head + body[length:], {HEADER_LENGTH: str(len(head))}
        case _:
            headers = headers | {"Content-Encoding": random.choice(["gzip", "deflate", "br"])}
    return kind, body, headers
