"""The output `volume`: what it is, that chunks do not show in it, and how their size is chosen."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from atheria_server.models.contract import Batch, InvalidRequestError
from atheria_server.models.qca.api import QcaApi
from atheria_server.models.qca.decoding import CHUNK_SIZES, VOXEL_BYTES, VolumeDecoder, fastest_chunk
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.step import density
from atheria_server.models.qca.validate import InvalidQcaRequestError, parse_request

SEEDS = {"seed": np.array([1, 2], np.int64)}


@pytest.mark.parametrize("chunk", [1, 7, 100, 4096, 10**9])
@pytest.mark.parametrize("depth", [1, 5, 16])
def test_the_size_of_the_chunks_changes_no_bit(ripple, chunk, depth):
    whole = VolumeDecoder("cpu", chunk=10**9).decode(ripple[:, :, :8, :8], depth)
    assert torch.equal(VolumeDecoder("cpu", chunk=chunk).decode(ripple[:, :, :8, :8], depth), whole)


def test_a_batch_decodes_to_what_its_rows_decode_to_alone(ripple):
    decoder = VolumeDecoder("cpu", chunk=1000)
    alone = torch.cat([decoder.decode(row[None], 6) for row in ripple])
    assert torch.equal(decoder.decode(ripple, 6), alone)


def test_a_plane_in_the_middle_of_a_layer_is_that_pair_of_channels_weakened(ripple):
    layers = ripple.shape[1] // 4
    volume = VolumeDecoder("cpu").decode(ripple, layers)
    pairs = [
        density(torch.cat([ripple[:, 2 * j : 2 * j + 2], ripple[:, 8 + 2 * j : 10 + 2 * j]], 1))
        for j in range(layers)
    ]
    gate = volume / torch.stack(pairs, 1)
    assert (gate > 0).all()
    assert (gate < 1).all()
    assert gate.std() > 1e-3, "the perceptron says the same everywhere"


def test_an_empty_cell_is_empty_at_every_depth(ripple):
    ripple[:, :, 3, 4] = 0
    volume = VolumeDecoder("cpu").decode(ripple, 9)
    assert (volume[:, :, 3, 4] == 0).all()
    assert (volume[:, :, 5, 5] > 0).all()


def test_a_voxel_depends_on_its_own_cell_only(ripple):
    decoder = VolumeDecoder("cpu")
    before = decoder.decode(ripple, 8)
    ripple[0, :, 3, 4] += 1
    changed = (decoder.decode(ripple, 8) != before).any(1).nonzero().tolist()
    assert changed == [[0, 3, 4]]


def test_the_fastest_chunk_within_the_memory_is_taken():
    times = {CHUNK_SIZES[0]: 3.0, CHUNK_SIZES[1]: 1.0, CHUNK_SIZES[2]: 2.0, CHUNK_SIZES[3]: 0.1}
    assert fastest_chunk(times.__getitem__, bytes_max=CHUNK_SIZES[2] * VOXEL_BYTES) == CHUNK_SIZES[1]
    assert fastest_chunk(times.__getitem__, bytes_max=10**12) == CHUNK_SIZES[3]


def test_where_no_chunk_fits_the_smallest_is_taken():
    assert fastest_chunk(float, bytes_max=1) == CHUNK_SIZES[0]


def test_a_tuned_decoder_has_one_of_the_tried_sizes():
    ticks = iter(range(10**6))
    assert VolumeDecoder.tuned("cpu", 8, clock=lambda: float(next(ticks))).chunk in CHUNK_SIZES


def test_the_api_gives_a_volume_of_the_wanted_depth_and_none_without(ripple):
    api = QcaApi({"law": "kerr", "volumes": True})
    api.setup("cpu")
    valid = api.validate(SEEDS, {"height": 8, "width": 16, "depth": 4, "steps": 2}, streaming=False)
    batch = Batch(inputs=valid.inputs, parameters=valid.parameters, rows=valid.rows)
    answer = api.predict(batch)
    assert answer["volume"].shape == (2, 4, 8, 16)
    assert answer["volume"].dtype == np.float32
    state = torch.from_numpy(np.array(answer["state"]))
    assert np.array_equal(answer["volume"], VolumeDecoder("cpu").decode(state, 4).numpy())
    frames = list(
        api.stream_frames(Batch(inputs=valid.inputs, parameters={**valid.parameters, "every": 1}, rows=2))
    )
    assert [frame.outputs["volume"].shape for frame in frames] == [(2, 4, 8, 16)] * 2
    plain = api.validate(SEEDS, {"height": 8, "width": 16}, streaming=False)
    assert plain.batch_key != valid.batch_key
    assert "volume" not in api.predict(Batch(inputs=plain.inputs, parameters=plain.parameters, rows=2))
    assert {output.name for output in api.metadata().outputs} == {*answer, "picture"}


def test_a_model_that_was_not_asked_for_volumes_has_none_and_says_how_to_get_them():
    api = QcaApi({"law": "kerr"})
    assert "volume" not in {output.name for output in api.metadata().outputs}
    with pytest.raises(InvalidRequestError, match="start it with the model's parameter volumes=true"):
        api.validate(SEEDS, {"depth": 4}, streaming=False)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"depth": 0}, "depth is 0; expected a whole number from 1 to 128"),
        ({"depth": 129}, "depth is 129"),
        ({"depth": 2.5}, "depth is 2.5"),
        ({"depth": True}, "depth is True"),
        (
            {"depth": 128, "height": 512, "width": 512},
            "67108864 voxels over all rows; .* which is depth 16 here",
        ),
    ],
)
def test_a_depth_that_cannot_be_is_refused(parameters, words):
    with pytest.raises(InvalidQcaRequestError, match=words):
        parse_request(SEEDS, parameters, 8)


def test_the_front_does_not_import_torch_for_it():
    code = "import sys, atheria_server.models.qca.api; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_volume_differs_between_states():
    decoder = VolumeDecoder("cpu")
    one, other = (decoder.decode(initial_state("vacuum_ripple", [seed], 8, 8, 8), 4) for seed in (1, 2))
    assert not torch.equal(one, other)
