"""What a source's text means, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_contract import names
from atheria_server.sources.errors import UnusableSourceError
from atheria_server.sources.remote import without_secrets
from atheria_server.sources.source_url import checked_name, is_files, parse_source, redacted


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("file:///models/a.pt2", "/models/a.pt2"),
        ("hf:///models/bert", "/models/bert"),
        ("pvc://weights/nca/v1", f"{names.MODELS_DIRECTORY}/weights/nca/v1"),
        ("pvc://weights", f"{names.MODELS_DIRECTORY}/weights"),
        ("oci://registry.example/team/model:3#nca/v1", f"{names.MODEL_IMAGE_DIRECTORY}/nca/v1"),
        ("oci://registry.example/team/model:3", names.MODEL_IMAGE_DIRECTORY),
    ],
)
def test_a_source_in_the_pod_is_a_path(source: str, path: str) -> None:
    assert is_files(source)
    assert parse_source(source).local == Path(path)


@pytest.mark.parametrize(
    "source", ["https://h/a.pt2", "s3://bucket/folder/", "gs://bucket/a.pt2", "hf://owner/name@v1"]
)
def test_other_sources_are_downloaded(source: str) -> None:
    assert parse_source(source).local is None


@pytest.mark.parametrize("source", ["builtin://qca", "python://a.b:C"])
def test_code_is_not_files(source: str) -> None:
    assert not is_files(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("ftp://x/y", ("ftp://x/y", "s3://")),
        ("file://relative/a.pt2", ("absolute", "file:///")),
        ("pvc:///a", ("claim",)),
        ("pvc://weights/../../etc", ("names below",)),
        ("oci://image#../etc", ("names below",)),
        ("hf://justaname", ("OWNER/NAME",)),
        ("s3://", ("names nothing",)),
        ("http://models.example/a.pt2", ("unencrypted", "https://", "digest")),
        ("https://user:hunter2@h/a.pt2", ("***@h", "password")),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_what_is_wrong(source: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UnusableSourceError) as error:
        parse_source(source)
    assert all(word in str(error.value) for word in words)
    assert "hunter2" not in str(error.value)


def test_http_is_taken_with_a_digest_and_on_this_machine() -> None:
    assert parse_source("http://models.example/a.pt2", digest="sha256:" + "0" * 64)
    assert parse_source("http://127.0.0.1:8000/a.pt2")


def test_passwords_and_signatures_are_left_out_of_what_is_shown() -> None:
    text = "https://me:secret@host:1/a/b.pt2?X-Amz-Signature=abc#f"
    assert redacted(text) == "https://***@host:1/a/b.pt2?***#f"
    assert without_secrets(f"GET {text} failed\nat '{text}'") == (
        "GET https://***@host:1/a/b.pt2?***#f failed at 'https://***@host:1/a/b.pt2?***#f'"
    )


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "./a", "a/", "a\\b", "a\nb", "x" * 600]
)
def test_a_listed_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(UnusableSourceError, match="names below the folder"):
        checked_name(name, "s3://bucket/x")


def test_a_listed_name_in_a_folder_below_is_taken() -> None:
    assert checked_name("weights/a-00001.safetensors", "s3://bucket/x") == "weights/a-00001.safetensors"
