"""One text for the contents of several tensors: equal states on two servers have equal digests. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from atheria_server.core import tensors
from atheria_server.core.infer import Array


def digest_of(outputs: Mapping[str, Array]) -> str:
    """`sha256:<hex>` over name, datatype, shape and bytes of each tensor, by name; their order does not matter."""
    found = hashlib.sha256()
    for name in sorted(outputs):
        array = tensors.to_array(outputs[name])
        data = tensors.to_bytes(array)
        shape = ",".join(str(n) for n in array.shape)
        found.update(f"{name}\n{tensors.datatype_of(array)}\n{shape}\n{len(data)}\n".encode())
        found.update(data)
    return f"sha256:{found.hexdigest()}"
