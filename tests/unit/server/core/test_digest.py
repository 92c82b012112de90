"""The text that stands for a state."""

from __future__ import annotations

import numpy as np

from atheria_server.core.digest import digest_of


def test_equal_tensors_have_equal_digests_in_any_order() -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2], np.int64)
    assert digest_of({"x": x, "y": y}) == digest_of({"y": y.copy(), "x": np.asfortranarray(x)})


def test_name_type_shape_and_every_value_count() -> None:
    x = np.zeros((2, 3), np.float32)
    other = x.copy()
    other[1, 2] = np.float32(1e-45)
    found = {
        digest_of(outputs)
        for outputs in (
            {"x": x},
            {"y": x},
            {"x": x.reshape(3, 2)},
            {"x": x.view(np.int32)},
            {"x": other},
            {"x": x, "y": x},
        )
    }
    assert len(found) == 6
    assert all(text.startswith("sha256:") and len(text) == 71 for text in found)
