"""Wrong weights and wrong parameters are refused with the reason, before anything is served."""

from __future__ import annotations

import pytest

from atheria_server.models.qca import train, weights
from atheria_server.models.qca.settings import QcaSettingsError, parse_settings


def test_the_shipped_weights_have_the_digest_in_the_code_and_imitate_kerr():
    law = weights.load_law(parse_settings({}), weights.BUILTIN_DIGEST)
    assert train.held_out_report(law, 32)[8][0] >= train.FIDELITY_LIMIT


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
        ({"law": "unet"}, "allowed: kerr, nca"),
        ({"law": "nca", "kappa": 1.0}, "belongs to law kerr"),
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
