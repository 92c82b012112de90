"""Wrong weights and wrong parameters are refused with the reason, before anything is served."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
import torch

from atheria_server.models.qca import weights
from atheria_server.models.qca.settings import QcaSettingsError, parse_settings
from atheria_server.models.qca.train import held_out
from atheria_server.models.weight_files import digest_of


def test_the_shipped_weights_have_the_digest_in_the_code_and_imitate_kerr():
    law = weights.load_law(parse_settings({}), weights.BUILTIN_DIGEST)
    assert held_out.held_out_report(law, 32)[8][0] >= held_out.FIDELITY_LIMIT


def test_a_digest_that_does_not_match_is_refused():
    with pytest.raises(weights.WeightsError, match="expected sha256:0000"):
        weights.load_law(parse_settings({}), "sha256:" + "0" * 64)


def test_a_file_that_is_not_safetensors_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(weights.WeightsError, match="not a safetensors file of law nca"):
        weights.load_law(parse_settings({"weights": str(path)}))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(weights.WeightsError, match="cannot be read"):
        weights.load_law(parse_settings({"weights": str(tmp_path / "none")}))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"colour": 1}, "unknown parameter 'colour'"),
        ({"law": "mlp"}, "allowed: kerr, nca, unet, euler"),
        ({"law": "nca", "kappa": 1.0}, "belongs to law kerr"),
        ({"law": "kerr", "weights": "w"}, "belongs to law nca or unet or euler"),
        ({"law": "unet", "depth": 2}, "belongs to law nca or euler"),
        ({"hidden": 0}, "hidden is 0; expected a whole number from 1"),
        ({"preset": "huge"}, "allowed: tiny, small, base, large, xl"),
        ({"preset": "small", "law": "nca"}, "preset small is of law unet"),
        ({"law": "kerr", "d": 12}, "multiple of 8"),
        ({"law": "kerr", "kappa": "big"}, "finite number"),
        ({"law": "kerr", "theta0": float("inf")}, "finite number"),
        ({"threads": 0}, "from 1 to"),
        ({"weights": 3}, "path of a safetensors file"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(parameters, words):
    with pytest.raises(QcaSettingsError, match=words):
        parse_settings(parameters)


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({}, 9_616),
        ({"preset": "tiny"}, 9_616),
        ({"preset": "small"}, 440_336),
        ({"preset": "base"}, 1_749_008),
        ({"preset": "base", "hidden": 32}, 440_336),
        ({"law": "euler"}, 9_616),
    ],
)
def test_presets_have_the_published_sizes(parameters, count):
    law = weights.load_law(parse_settings(parameters))
    assert weights.count_parameters(law) == count


def test_the_largest_presets_have_the_published_sizes():
    for preset, count in [("large", 27_877_408), ("xl", 51_019_808)]:
        settings = parse_settings({"preset": preset})
        with torch.device("meta"):
            law = weights.build_law(
                settings.law, settings.channels, hidden=settings.hidden, depth=settings.depth
            )
        assert weights.count_parameters(law) == count


def test_weights_that_nothing_trained_are_the_same_each_time_and_said_to_be_untrained(caplog):
    state = torch.random.get_rng_state()
    laws = [weights.load_law(parse_settings({"law": "unet", "hidden": 8})) for _ in range(2)]
    assert torch.equal(state, torch.random.get_rng_state())
    assert weights.dump_law(laws[0]) == weights.dump_law(laws[1])
    assert laws[0].origin == "seed 0, untrained"
    assert "untrained" in caplog.text
    assert weights.load_law(parse_settings({})).origin == weights.BUILTIN_FILE
    with pytest.raises(weights.WeightsError, match="has no weights file"):
        weights.load_law(parse_settings({"law": "unet"}), "sha256:" + "0" * 64)


@pytest.mark.parametrize("name", ["nca", "unet", "euler"])
def test_weights_that_were_written_are_read_again_and_decide_the_sizes(name, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(weights.dump_law(weights.build_law(name, 8, hidden=4)))
    given = {"law": name, "weights": str(path)}
    law = weights.load_law(parse_settings(given), digest_of(path.read_bytes()))
    assert law.sizes()["hidden"] == 4
    with pytest.raises(weights.WeightsError, match="is for hidden=4, but parameter hidden is 64"):
        weights.load_law(parse_settings({**given, "hidden": 64}))
    with pytest.raises(weights.WeightsError, match="is for d=8, but parameter d is 16"):
        weights.load_law(parse_settings({**given, "d": 16}))
    other = {"law": "nca" if name == "unet" else "unet", "weights": str(path)}
    with pytest.raises(weights.WeightsError, match="not a safetensors file of law"):
        weights.load_law(parse_settings(other))


def test_every_layer_with_weights_belongs_to_a_group(law):
    names = {name.rpartition(".")[0] for name, _ in law.named_parameters()}
    found = {
        name: [g for g, patterns in law.groups().items() for p in patterns if fnmatch(name, p)]
        for name in names
    }
    assert all(found.values()), found
    if names:
        assert {groups[0] for groups in found.values()} == {"encoder", "backbone", "head"}
