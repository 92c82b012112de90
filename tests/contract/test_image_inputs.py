"""A local image is made anew where one of its files has changed: its inputs are what its stages of the Dockerfile copy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from atheria_local.images import ALL, Image

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text(encoding="utf-8")


def stages() -> dict[str, str]:
    """Text of each stage, by its name."""
    found = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {name: f"FROM {base}\n{text}" for base, name, text in zip(*[iter(found)] * 3, strict=True)}


def copied(stage: str, every: dict[str, str]) -> set[str]:
    """What it and the stages that it is made of copy from the repository."""
    if stage not in every:
        return set()
    text, files = every[stage], set()
    for flag, line in re.findall(r"^COPY (--from=\S+ )?(.*)$", text, flags=re.MULTILINE):
        if flag:
            files |= copied(flag.strip().removeprefix("--from="), every)
        else:
            files |= set(line.split()[:-1])
    base = text.splitlines()[0].removeprefix("FROM ")
    return files | copied(base, every)


@pytest.mark.parametrize("image", ALL, ids=lambda image: image.component)
def test_an_images_inputs_are_what_its_stages_copy(image: Image) -> None:
    assert copied(image.target, stages()) == set(image.inputs)
