"""`atheria-server train` as its own processes: killed, sharded, and measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from atheria_server.models.qca.train import command
from atheria_server.models.qca.train.checkpoint import write_checkpoint
from atheria_server.models.qca.train.options import TrainingOptions
from atheria_server.models.qca.train.trainer import Trainer

SMALL = ["--side", "8", "--batch", "4", "--iterations", "40", "--minimum-fidelity", "0"]
FEW = ["--side", "8", "--batch", "4", "--iterations", "4", "--minimum-fidelity", "0"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SEVERAL = """
import json, sys
from atheria_server.models.qca.train.command import main
sys.exit(max(main(arguments) for arguments in json.loads(sys.argv[1])))
"""


def test_a_training_continued_after_a_kill_equals_the_uninterrupted_one_bit_for_bit(tmp_path):
    torch.set_num_threads(1)
    whole, parts, kept = tmp_path / "whole", tmp_path / "parts", tmp_path / "kept"
    checkpointed = [*SMALL, "--checkpoint", str(kept), "--checkpoint-every", "5", "--out", str(parts)]
    process = subprocess.Popen(
        [sys.executable, "-m", "atheria_server", "train", *checkpointed, "--progress-every", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("iteration 12/40"):
                break
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()
    assert not parts.exists()
    assert command.main([*checkpointed, "--resume"]) == 0
    assert command.main([*SMALL, "--out", str(whole)]) == 0
    assert parts.read_bytes() == whole.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What one fresh process has made: ZeRO and FSDP, continued from one process's checkpoint, and a small ablation."""
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
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, json.dumps([*sharded, ablation])],
        capture_output=True,
        text=True,
        timeout=110,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


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
