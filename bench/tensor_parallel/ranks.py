"""The processes of a run: each its part of the network, the first one the work too. `python -m bench.tensor_parallel.ranks`, by `runs`.

Forked behind the imports, which take longer than the work with a small network, and before anything is computed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.parallel.follow import follow
from atheria_server.models.text.parallel.lead import Lead, LeadModel, LeadPool
from atheria_server.models.text.parallel.split import Ranks, split_network
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.weights import load_network
from bench.tensor_parallel.work import Done, Work, generate

GROUP_SECONDS = 120.0
"""A collective that takes longer fails: a rank hangs. One that is gone fails at once."""
CACHE_BYTES = 1 << 30


def main() -> None:
    """Print the ranks' exit statuses; what each has done is in FOLDER/rank-N.npz."""
    parser = argparse.ArgumentParser()
    for name, kind in (("preset", str), ("ranks", int), ("threads", int), ("side", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name, kind in (("words", int), ("steps", int), ("folder", str)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--dies", type=int, default=-1, help="rank that ends without a word before the work")
    given = parser.parse_args()
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_run, args=(rank, given)) for rank in range(given.ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(*(process.exitcode for process in processes))


def _run(rank: int, given: argparse.Namespace) -> None:
    torch.set_num_threads(given.threads)
    work = Work(side=given.side, words=given.words, steps=given.steps)
    network = load_network(given.preset)
    done = _computed(rank, network, given, work)
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    np.savez(
        f"{given.folder}/rank-{rank}.npz",
        logits=torch.cat(done.logits).numpy() if done.logits else np.zeros(0),
        tokens=np.array(done.tokens),
        prompt_seconds=done.prompt_seconds,
        step_seconds=np.array(done.step_seconds),
        used_bytes=done.used_bytes,
        weight_bytes=weights,
        peak_bytes=peak,
    )


def _computed(rank: int, network: SceneLine, given: argparse.Namespace, work: Work) -> Done:
    if given.ranks == 1:
        pool: Any = CachePool(network.cache_shape, CACHE_BYTES, context_length=work.context)
        return generate(network, pool, network, work)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{given.folder}/rendezvous",
        rank=rank,
        world_size=given.ranks,
        timeout=timedelta(seconds=GROUP_SECONDS),
    )
    group = dist.group.WORLD
    assert group is not None
    orders = dist.new_group(timeout=timedelta(days=1))
    ranks = Ranks(rank=rank, count=given.ranks, group=group, orders=orders)
    part = split_network(network, ranks)
    pool = CachePool(part.cache_shape, CACHE_BYTES, context_length=work.context)
    if given.dies == rank:
        sys.exit(9)
    if not ranks.is_lead:
        with torch.inference_mode():
            follow(part, pool, ranks)
        dist.destroy_process_group()
        return Done()
    lead = Lead(ranks)
    done = generate(LeadModel(part, lead), LeadPool(pool, lead), network, work)
    lead.end()
    dist.destroy_process_group()
    return done


if __name__ == "__main__":
    main()
