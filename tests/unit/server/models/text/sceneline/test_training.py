"""Training learns, is the same for the same seed, and writes nothing that is not good enough."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from atheria_server.models.text.sceneline import train
from atheria_server.models.text.sceneline.training import (
    Trainer,
    TrainingOptions,
    TrainingOptionsError,
    trained_network,
)

SHORT = TrainingOptions(iterations=8, batch=4)


def _train(options: TrainingOptions) -> tuple[Trainer, list[float]]:
    trainer = Trainer(options)
    return trainer, [sum(trainer.advance()) for _ in range(options.iterations)]


def test_equal_options_give_equal_weights_and_losses_fall() -> None:
    (one, losses), (other, again) = _train(SHORT), _train(SHORT)
    assert losses == again
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_another_seed_gives_other_weights_and_scenes() -> None:
    assert _train(SHORT)[1] != _train(TrainingOptions(seed=1, iterations=8, batch=4))[1]


def test_what_was_trained_is_a_copy_for_use() -> None:
    trainer = Trainer(SHORT)
    network = trained_network(trainer)
    before = network.out.weight.clone()
    trainer.advance()
    assert not network.training
    assert not network.out.weight.requires_grad
    assert torch.equal(network.out.weight, before)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"iterations": 1}, "--iterations is 1; expected a whole number from 2"),
        ({"batch": 0}, "--batch is 0"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, float], words: str) -> None:
    with pytest.raises(TrainingOptionsError, match=words):
        TrainingOptions(**given)  # type: ignore[arg-type]


def test_a_network_that_is_not_good_enough_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atheria_server.models.text.sceneline.held_out.SCENES", 8)
    out = tmp_path / "weights.safetensors"
    short = ["--iterations", "2", "--batch", "2", "--progress-every", "1", "--out", str(out)]
    assert train.main(short) == train.EXIT_NOT_GOOD_ENOUGH
    said = capsys.readouterr()
    assert "the limit is 0.88; nothing written" in said.err
    assert "iteration 2/2" in said.out
    assert not out.exists()
    assert train.main([*short, "--minimum-iou", "0"]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    assert out.stat().st_size > 1_000_000


def test_a_folder_that_is_not_there_is_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["--out", str(tmp_path / "none" / "file")]) == train.EXIT_USAGE
    assert "is not a folder" in capsys.readouterr().err
