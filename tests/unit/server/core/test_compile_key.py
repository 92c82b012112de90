"""Compiled code is found under one key for everything that it depends on."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from atheria_server.core.compile_key import (
    KEY_CHARACTERS,
    CompileFacts,
    compile_key,
    different_facts,
    key_of_document,
)

FACTS = CompileFacts(
    model_digest="sha256:aa",
    code_digest="sha256:bb",
    torch="2.15.0+cpu",
    cuda="",
    driver="",
    architecture="x86_64 AVX2 0123",
    threads=1,
    mode="default",
    precision="fp32",
    row_buckets=(1, 2, 4),
    shapes=((16, 8, 8),),
)
OTHER: dict[str, Any] = {"threads": 2, "row_buckets": (1, 2), "shapes": ((16, 8, 8), (16, 16, 16))}


@pytest.mark.parametrize("name", [field.name for field in fields(CompileFacts)])
def test_every_fact_changes_the_key(name: str) -> None:
    other = replace(FACTS, **{name: OTHER.get(name, "another")})
    assert compile_key(other) != compile_key(FACTS)
    assert [text.split(" is ")[0] for text in different_facts(asdict(FACTS), other)] == [name]


def test_facts_that_were_written_as_json_and_read_again_have_the_same_key() -> None:
    document = json.loads(json.dumps(asdict(FACTS)))
    assert key_of_document(dict(reversed(document.items()))) == compile_key(FACTS)
    assert different_facts(document, FACTS) == []


def test_a_key_is_a_short_name_for_a_folder() -> None:
    key = compile_key(FACTS)
    assert len(key) == KEY_CHARACTERS
    assert set(key) <= set("0123456789abcdef")


def test_what_differs_is_said_with_both_values() -> None:
    (text,) = different_facts(asdict(replace(FACTS, architecture="x86_64 AVX512 9")), FACTS)
    assert text == "architecture is 'x86_64 AVX512 9', here it is 'x86_64 AVX2 0123'"
