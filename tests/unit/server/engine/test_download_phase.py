"""What a server that downloads says of it, up to the operator's own words."""

from __future__ import annotations

from atheria_operator.domain.status.phases import Phase, Step, read_step
from atheria_server.engine.download_phase import download_phase
from atheria_server.sources.progress import Transfer


def transfer(*, state: str = "downloading", source: str = "s3://a/b", total: int | None = 400) -> Transfer:
    return Transfer(source=source, state=state, done_bytes=100, total_bytes=total, seconds=1.0)


def step(told: Transfer) -> Step | None:
    return read_step({"ready": False, "reason": f"the model is not loaded yet: {download_phase(told).text}"})


def test_the_operator_reads_the_bytes_of_a_download() -> None:
    assert step(transfer()) == Step(phase=Phase.DOWNLOADING, done=100, total=400, detail="s3://a/b")
    assert step(transfer(state="resuming")) == step(transfer(state="waiting")) == step(transfer())


def test_a_download_of_unknown_size_says_what_it_has() -> None:
    told = step(transfer(total=None))
    assert told is not None
    assert (told.phase, told.total) == (Phase.DOWNLOADING, 0)
    assert told.detail == "s3://a/b, 0.0 MB so far"


def test_after_a_download_the_model_is_loaded() -> None:
    assert step(transfer(state="done")) == Step(phase=Phase.LOADING)


def test_a_long_source_is_still_understood() -> None:
    told = step(transfer(source="https://host/" + "x" * 2000 + "/model.pt2"))
    assert told is not None
    assert (told.phase, told.done) == (Phase.DOWNLOADING, 100)
    assert told.detail.startswith("https://host/")
    assert told.detail.endswith("/model.pt2")
