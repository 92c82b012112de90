"""Each way of training gives the weights of the plain one; a training that was interrupted is continued exactly."""

from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from atheria_server.models.qca.train import command, machine, plot
from atheria_server.models.qca.train.ablation_rows import ablation_rows, judged
from atheria_server.models.qca.train.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from atheria_server.models.qca.train.options import TrainingOptions
from atheria_server.models.qca.train.trainer import Trainer

SMALL = {"side": 8, "batch": 4, "iterations": 6}
FLAGS = ["--side", "8", "--batch", "4", "--iterations", "6", "--minimum-fidelity", "0"]


def trained(**changes):
    trainer = Trainer(TrainingOptions(**{**SMALL, **changes}))
    while trainer.iteration < trainer.options.iterations:
        trainer.advance()
    return trainer


def weights_of(trainer):
    return torch.cat([value.flatten() for value in trainer.law().state_dict().values()])


@pytest.fixture(scope="module")
def plain():
    torch.set_num_threads(1)
    return trained()


@pytest.mark.parametrize(
    "changes",
    [
        {"precompute": True},
        {"gradient_checkpointing": True},
        {"set_to_none": False},
        {"loader_workers": 2},
        {"loader_workers": 1, "precompute": True},
    ],
)
def test_what_only_moves_work_changes_no_bit(changes, plain):
    other = trained(**changes)
    assert torch.equal(weights_of(other), weights_of(plain))
    assert torch.equal(other.loss_history(), plain.loss_history())


@pytest.mark.parametrize(
    "changes",
    [
        {"fused": True},
        {"accumulate": 4},
        {"accumulate": 2, "set_to_none": False},
        {"loss": "looped"},
        {"rows_together": True},
    ],
)
def test_what_adds_up_in_another_order_differs_by_rounding_only(changes, plain):
    assert (weights_of(trained(**changes)) - weights_of(plain)).abs().max() <= 1e-5


def test_bfloat16_products_are_near_and_leave_the_weights_in_float32(plain):
    other = trained(amp=True)
    assert 0 < (weights_of(other) - weights_of(plain)).abs().max() < 0.02
    assert {value.dtype for value in other.law().state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("law", ["unet", "euler"])
def test_the_other_laws_learn_too(law):
    losses = trained(law=law, hidden=4, iterations=20).loss_history()
    assert losses[9] < losses[0]


def test_the_horizon_is_one_step_for_the_first_half_and_then_four():
    assert [TrainingOptions(**SMALL).horizon(i) for i in range(6)] == [1, 1, 1, 4, 4, 4]


@pytest.mark.parametrize("done", [0, 2, 5])
def test_a_training_continued_from_its_checkpoint_equals_the_uninterrupted_one(done, plain, tmp_path):
    first = Trainer(TrainingOptions(**SMALL))
    for _ in range(done):
        first.advance()
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, first.checkpoint())
    second = Trainer(TrainingOptions(**SMALL))
    second.restore(read_checkpoint(path, second.options.identity()))
    while second.iteration < 6:
        second.advance()
    assert torch.equal(weights_of(second), weights_of(plain))
    assert torch.equal(second.loss_history(), plain.loss_history())
    with pytest.raises(IndexError, match="nothing is left"):
        second.advance()


def test_a_checkpoint_of_another_training_is_refused(plain, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, plain.checkpoint())
    with pytest.raises(CheckpointError, match="seed=0, but seed is 1"):
        read_checkpoint(path, TrainingOptions(**SMALL, seed=1).identity())


def damaged(path, how):
    data = path.read_bytes()
    match how:
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "empty":
            path.write_bytes(b"")
        case "other":
            save_file({"a": torch.zeros(1)}, path)
        case "incomplete":
            save_file({"a": torch.zeros(1)}, path, {"format": "atheria-training-1", "state": "{}"})
        case "missing":
            path.unlink()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "not a whole checkpoint"),
        ("empty", "not a whole checkpoint"),
        ("other", "expected atheria-training-1"),
        ("incomplete", "not a whole checkpoint"),
        ("missing", "cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_its_name(how, words, plain, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, plain.checkpoint())
    damaged(path, how)
    with pytest.raises(CheckpointError, match=words) as error:
        read_checkpoint(path, plain.options.identity())
    assert str(path) in str(error.value)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(plain, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    write_checkpoint(path, plain.checkpoint())
    before = path.read_bytes()
    (tmp_path / f".{path.name}.partial").mkdir()
    with pytest.raises(CheckpointError, match="last one is unchanged"):
        write_checkpoint(path, plain.checkpoint())
    assert path.read_bytes() == before


def test_a_stop_leaves_a_checkpoint_and_the_rest_is_done_later(tmp_path, monkeypatch, capsys):
    whole, parts, kept = tmp_path / "whole", tmp_path / "parts", tmp_path / "kept"
    assert command.main([*FLAGS, "--out", str(whole)]) == 0
    advance = Trainer.advance

    def advance_and_stop(trainer):
        advance(trainer)
        if trainer.iteration == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "advance", advance_and_stop)
        assert command.main([*FLAGS, "--out", str(parts), "--checkpoint", str(kept)]) == 128 + signal.SIGTERM
    assert "after iteration 3 of 6; continue with --resume" in capsys.readouterr().out
    assert not parts.exists()
    report = tmp_path / "report.json"
    given = [*FLAGS, "--out", str(parts), "--checkpoint", str(kept), "--resume", "--report", str(report)]
    assert command.main(given) == 0
    assert parts.read_bytes() == whole.read_bytes()
    assert len(json.loads(report.read_text())["losses"]) == 6


def test_weights_that_are_not_good_enough_are_not_written(tmp_path, capsys):
    out = tmp_path / "weights"
    assert command.main([*FLAGS[:-2], "--out", str(out)]) == 1
    assert "the limit is 0.999; nothing written" in capsys.readouterr().out
    assert not out.exists()


def test_progress_shows_iteration_loss_fidelity_and_seconds(capsys):
    assert command.main([*FLAGS, "--progress-every", "3"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("iteration")]
    assert [line.split()[1] for line in lines] == ["1/6", "3/6", "6/6"]
    assert all(word in lines[0] for word in ("horizon 1", "loss", "fidelity 0.", " s ", "ms/iteration"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--law", "unet", "--depth", "2"], "depth belongs to law nca or euler"),
        (["--preset", "small", "--law", "nca"], "preset small is of law unet"),
        (["--d", "12"], "multiple of 8"),
        (["--side", "12"], "--side is 12; expected a multiple of 8"),
        (["--batch", "6", "--accumulate", "4"], "multiple of --processes x --accumulate = 4"),
        (["--iterations", "1"], "--iterations is 1; expected a whole number from 2"),
        (["--learning-rate", "0"], "expected a number above 0"),
        (["--learning-rate", "nan"], "expected a number above 0"),
        (["--processes", "2"], "set --shard zero or --shard fsdp"),
        (["--shard", "fsdp"], "set --processes 2 or more"),
        (["--processes", "2", "--shard", "zero", "--compile"], "--compile is not offered with --shard zero"),
        (["--device", "tpu"], "allowed: cpu, cuda, cuda:N"),
        (["--resume"], "--resume needs --checkpoint"),
        (["--out", "none/there/w"], "none/there is not a folder"),
        (["--checkpoint-every", "0"], "--checkpoint-every is 0"),
        (["--minimum-fidelity", "2"], "a number from 0 to 1"),
        (["--record", "page.md"], "belong to --ablation"),
        (["--ablation", "--out", "w"], "--out does nothing with --ablation"),
        (["--ablation", "--only", "magic"], "allowed: plain, "),
        (["--ablation", "--seeds", "1"], "from 2 to 20"),
        (["--ablation", "--turns", "400"], "half of --iterations"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(arguments, words, capsys):
    assert command.main(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("atheria-server train: error: ")
    assert words in line


def test_a_device_that_is_not_there_is_refused(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    assert command.main(["--device", "cuda"]) == 2
    assert "torch finds no CUDA device" in capsys.readouterr().err


def test_a_checkpoint_is_not_overwritten_by_a_new_training(tmp_path, capsys):
    path = tmp_path / "kept"
    path.write_bytes(b"precious")
    assert command.main([*FLAGS, "--checkpoint", str(path)]) == 2
    assert "exists; continue it with --resume" in capsys.readouterr().err
    assert path.read_bytes() == b"precious"


def test_pinned_memory_on_the_cpu_is_said_to_do_nothing(capsys):
    assert command.main([*FLAGS, "--pin-memory"]) == 0
    assert "pinned memory cannot gain on the CPU" in capsys.readouterr().err


def test_without_a_compiler_compile_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert command.main([*FLAGS, "--compile"]) == 2
    assert "needs a C++ compiler" in capsys.readouterr().err


def test_a_picture_without_matplotlib_is_refused_before_the_training(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert command.main([*FLAGS, "--plot", str(tmp_path / "loss.svg")]) == 2
    assert "install the extra" in capsys.readouterr().err


def test_fsdp_on_a_torch_whose_cpu_has_no_events_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "Stream", object)
    assert command.main([*FLAGS, "--processes", "2", "--shard", "fsdp"]) == 2
    assert "set --shard zero" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"), [("fpu avx2", "torch emulates"), ("fpu avx512_bf16", ""), ("fpu amx_bf16 x", "")]
)
def test_bfloat16_is_said_to_gain_nothing_where_the_processor_lacks_it(flags, words, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"model name : a b c\nflags : {flags}\n")
    said = machine.remark(TrainingOptions(**SMALL, amp=True), cpuinfo)
    assert words in said
    assert bool(said) == bool(words)


def test_rows_of_the_ablation_that_this_machine_cannot_run_say_why(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    odd = replace(TrainingOptions(**SMALL), batch=3)
    rows = {row.name: row for row in map(judged, ablation_rows(odd, seeds=2))}
    reasons = {name: row.expected for name, row in rows.items() if not row.runs}
    assert "C++ compiler" in reasons.pop("compile")
    assert "C++ compiler" in reasons.pop("all that gain together")
    assert "no copy to a device" in reasons.pop("pinned memory, non_blocking")
    assert reasons
    assert all("--batch is 3" in reason or "--accumulate is 4" in reason for reason in reasons.values())
    assert rows["plain"].runs


def test_equal_curves_give_an_equal_picture(tmp_path):
    curves = {"a": [1.0, 0.1, 0.01] * 100, "b": [2.0, 1.0]}
    for name in ("one.svg", "two.svg"):
        plot.plot_losses(curves, tmp_path / name)
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "two.svg").read_text()
    assert "squared error per cell" in picture


def test_written_weights_are_those_of_the_law(tmp_path, plain):
    out = tmp_path / "weights"
    assert command.main([*FLAGS, "--out", str(out)]) == 0
    written = load_file(out)
    assert all(torch.equal(value, written[name]) for name, value in plain.law().state_dict().items())
