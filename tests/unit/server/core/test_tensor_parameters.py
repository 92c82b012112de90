"""Parameters of tensors that are refused, and those that pass."""

from __future__ import annotations

import pytest

from atheria_server.core.errors import UnsupportedError
from atheria_server.core.tensor_parameters import refuse_unsupported


@pytest.mark.parametrize("name", ["shared_memory_region", "classification"])
def test_what_the_server_does_not_have_is_refused_with_the_tensor_and_the_parameter(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"^output 'y' has the parameter {name}: .*not offered"):
        refuse_unsupported("output 'y'", ["binary_data", name])


def test_parameters_of_the_protocol_and_of_models_pass() -> None:
    refuse_unsupported("input 'x'", ["binary_data_size", "binary_data", "my_own"])
    refuse_unsupported("input 'x'", {})
