"""`atheria-server train` as its own processes: killed, sharded, and measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from atheria_server.models.qca.train import command
from atheria_server.models.qca.train.checkpoint import read_checkpoint, write_checkpoint
from atheria_server.models.qca.train.options import TrainingOptions
from atheria_server.models.qca.train.trainer import Trainer

SMALL = ["--side", "8", "--batch", "4", "--iterations", "40", "--minimum-fidelity", "0"]
FEW = ["--side", "8", "--batch", "4", "--iterations", "4", "--minimum-fidelity", "0"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
FRESH_PROCESS = """
import json, multiprocessing, os, signal, sys
from atheria_server.models.qca.train.command import main
from atheria_server.models.qca.train.memory import import_early
from atheria_server.models.qca.train.trainer import Trainer

def killed(arguments):
    advance = Trainer.advance
    def advance_and_die(trainer):
        advance(trainer)
        if trainer.iteration == 12:
            os.kill(os.getpid(), signal.SIGKILL)
    Trainer.advance = advance_and_die
    main(arguments)

to_kill, *others = json.loads(sys.argv[1])
import_early()
child = multiprocessing.get_context("fork").Process(target=killed, args=(to_kill,))
child.start()
child.join()
assert child.exitcode == -signal.SIGKILL, child.exitcode
sys.exit(max(main(arguments) for arguments in others))
"""
"""One for all: most of its time is importing torch."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What one fresh process has made: a killed training, ZeRO and FSDP from one process's checkpoint, an ablation."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "page.md").write_text("# Page\n\n## Results\n\nold\n")
    torch.set_num_threads(1)
    half = Trainer(TrainingOptions(side=8, batch=4, iterations=4))
    half.advance()
    half.advance()
    sharded = []
    for shard in ("zero", "fsdp"):
        kept = folder / f"{shard}.kept"
        write_checkpoint(kept, half.checkpoint())
        files = ["--out", str(folder / shard), "--checkpoint", str(kept), "--resume"]
        sharded.append([*FEW, "--processes", "2", "--shard", shard, *files])
    ablation = [
        *["--ablation", "--side", "8", "--batch", "4", "--iterations", "8", "--turns", "2", "--seeds", "2"],
        *["--only", "precomputed teacher", "--only", "ZeRO, 2 processes"],
        *["--record", str(folder / "page.md"), "--plot", str(folder / "losses.svg")],
    ]
    killed = [*SMALL, "--checkpoint", str(folder / "killed"), "--checkpoint-every", "5"]
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, json.dumps([killed, *sharded, ablation])],
        capture_output=True,
        text=True,
        timeout=280,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


def test_a_training_continued_after_a_kill_equals_the_uninterrupted_one_bit_for_bit(folder, tmp_path):
    torch.set_num_threads(1)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert read_checkpoint(folder / "killed", {}).iteration == 10
    assert (
        command.main([*SMALL, "--checkpoint", str(folder / "killed"), "--resume", "--out", str(parts)]) == 0
    )
    assert command.main([*SMALL, "--out", str(whole)]) == 0
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("shard", ["zero", "fsdp"])
def test_a_training_continued_by_two_processes_equals_that_of_one(shard, folder, tmp_path):
    torch.set_num_threads(1)
    alone = tmp_path / "alone"
    kept = tmp_path / "kept"
    assert command.main([*FEW, "--out", str(alone), "--checkpoint", str(kept)]) == 0
    for one, two in [(alone, folder / shard), (kept, folder / f"{shard}.kept")]:
        wanted, got = load_file(one), load_file(two)
        assert wanted.keys() == got.keys()
        assert max((wanted[name] - got[name]).abs().max() for name in wanted) <= 1e-5


def test_an_ablation_records_its_table_and_its_picture(folder):
    page = (folder / "page.md").read_text()
    assert page.startswith("# Page\n\n## Results\n")
    assert "old" not in page
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in rows[1:]] == [
        "plain",
        "plain, seed 1",
        "precomputed teacher",
        "ZeRO, 2 processes",
    ]
    # The same losses: what is computed is not changed by how.
    assert rows[1][6:9] == rows[3][6:9]
    assert "![Loss curves](losses.svg)" in page
    assert (folder / "losses.svg").stat().st_size < 100_000
