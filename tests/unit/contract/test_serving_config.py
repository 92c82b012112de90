"""The configuration that the operator writes and the server reads."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract.optimization import PrecisionConfig, QualityConfig, WarmupConfig
from atheria_contract.serving import ServingConfig, ServingConfigError, parse_serving_config

scalars = st.one_of(
    st.text(max_size=20),
    st.integers(-(2**53), 2**53),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(
    name=st.text(min_size=1, max_size=20),
    parameters=st.dictionaries(st.text(max_size=10), scalars, max_size=5),
    shapes=st.lists(st.lists(st.integers(1, 512), max_size=4).map(tuple), max_size=3).map(tuple),
    latency=st.floats(0, 10),
)
def test_what_is_written_is_what_is_read(
    name: str,
    parameters: dict[str, str | int | float | bool],
    shapes: tuple[tuple[int, ...], ...],
    latency: float,
) -> None:
    config = ServingConfig(
        name=name,
        source="builtin://qca",
        parameters=parameters,
        warmup_shapes=shapes,
        max_latency_seconds=latency,
        precision=PrecisionConfig(policy="hierarchy", keep_fp32=("law.out",)),
        warmup=WarmupConfig(hooks=("a.b:c",)),
        quality=QualityConfig(limits={"C4": latency}),
    )
    assert parse_serving_config(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sorce": "x"}, "unknown key 'sorce'; allowed: cache, compile, digest, drain_delay_seconds"),
        ({"name": ""}, "key 'name' is missing or empty"),
        ({"max_batch_size": "8"}, "max_batch_size is '8'; expected int"),
        ({"max_batch_size": True}, "max_batch_size is True; expected int"),
        ({"warmup_shapes": [[1, "a"]]}, "expected a list of shapes such as"),
        ({"parameters": {"a": [1]}}, "parameters.a is [1]; expected str or int or float or bool"),
        ({"precision": "nf4"}, "precision is 'nf4'; expected an object"),
        ({"precision": {"polcy": "nf4"}}, "unknown key 'precision.polcy'; allowed: backbone, calibration"),
        (
            {"precision": {"calibration": {"samples": "many"}}},
            "precision.calibration.samples is 'many'; expected int",
        ),
        ({"quality": {"limits": {"C4": "low"}}}, "quality.limits.C4 is 'low'; expected float"),
        ({"warmup": {"hooks": ["a:b", 1]}}, "warmup.hooks is 1; expected str"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], words: str) -> None:
    document = {"name": "m", "source": "builtin://qca", **change}
    with pytest.raises(ServingConfigError, match=re.escape(words)):
        parse_serving_config(json.dumps(document))


def test_an_integer_is_taken_where_a_number_is_wanted() -> None:
    assert (
        parse_serving_config('{"name":"m","source":"s://x","max_latency_seconds":1}').max_latency_seconds
        == 1.0
    )


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(ServingConfigError, match="not JSON"):
        parse_serving_config("name: m")
