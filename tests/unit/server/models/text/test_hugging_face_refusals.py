from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.text.settings import TextSettingsError
from atheria_server.sources.errors import UnusableSourceError
from tests.unit.server.models.text.test_hugging_face import VOCABULARY, _llama, load_network, save, served

pytestmark = [
    # As in test_hugging_face.
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
NORM = "model.layers.1.post_attention_layernorm.weight"


def _phi3(**other: Any) -> Any:
    from transformers import Phi3Config, Phi3ForCausalLM

    return Phi3ForCausalLM(
        Phi3Config(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            original_max_position_embeddings=64,
            rope_scaling={
                "type": "longrope",
                "short_factor": [1.0] * 4,
                "long_factor": [2.0, 4.0, 8.0, 16.0],
            },
            pad_token_id=0,
            eos_token_id=0,
            bos_token_id=1,
            **other,
        )
    )


def _falcon_with_alibi() -> Any:
    from transformers import FalconConfig, FalconForCausalLM

    return FalconForCausalLM(
        FalconConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=4,
            alibi=True,
            new_decoder_architecture=False,
            max_position_embeddings=64,
        )
    )


def _gpt_neo() -> Any:
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    # Its window is longer than the texts of the proof, and is counted from the longest row of a pass.
    layers = [[["global", "local"], 1]]
    return GPTNeoForCausalLM(
        GPTNeoConfig(vocab_size=VOCABULARY, hidden_size=32, num_layers=2, num_heads=4, attention_types=layers)
    )


def _rwkv() -> Any:
    from transformers import RwkvConfig, RwkvForCausalLM

    return RwkvForCausalLM(RwkvConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2))


def _mamba() -> Any:
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1))


@pytest.mark.parametrize("make", [_gpt_neo, _rwkv, _mamba])
def test_what_masks_by_itself_or_has_no_attention_is_refused_in_a_sentence(tmp_path: Path, make: Any) -> None:
    folder = save(tmp_path, make)
    with pytest.raises(UnusableSourceError):
        load_network(folder, dtype="fp32", device="cpu")


def change_weights(folder: Path, **changed: Any) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights.pop(NORM)
    save_file({**weights, **changed}, path, metadata={"format": "pt"})


def test_weights_that_the_files_do_not_have_are_not_drawn_at_random(tmp_path: Path) -> None:
    folder = save(tmp_path, _llama)
    change_weights(folder)
    with pytest.raises(UnusableSourceError, match=f"lacks weights of its network: {NORM}"):
        load_network(folder, dtype="fp32", device="cpu")


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    import torch

    folder = save(tmp_path, _llama)
    change_weights(folder, **{NORM: torch.ones(3)})
    with pytest.raises(UnusableSourceError):
        load_network(folder, dtype="fp32", device="cpu")


def test_a_draft_without_all_its_weights_is_refused_too(tmp_path: Path) -> None:
    folder = save(tmp_path, _llama)
    change_weights(save(folder / "draft", _llama, seed=1))
    with pytest.raises(UnusableSourceError, match="draft lacks weights"):
        served(folder, draft="draft").setup("cpu")


def test_rotary_positions_with_two_kinds_of_factors_are_served_up_to_where_they_change(
    tmp_path: Path,
) -> None:
    folder = save(tmp_path, _phi3)
    assert served(folder).context_length == 64
    assert load_network(folder, dtype="fp32", device="cpu").context_length == 64
    with pytest.raises(TextSettingsError, match="context_length is 65; allowed: 1 to 64"):
        served(folder, context_length=65)


def test_a_model_that_computes_otherwise_with_a_cache_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, _falcon_with_alibi)
    with pytest.raises(UnusableSourceError, match="serve it by runtime custom"):
        load_network(folder, dtype="fp32", device="cpu")


def test_a_tokenizer_that_cuts_and_fills_its_texts_reads_a_prompt_whole(tmp_path: Path) -> None:
    folder = save(tmp_path, _llama)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=4)
    tokenizer.enable_padding(length=12)
    tokenizer.save(str(folder / "tokenizer.json"))
    api = served(folder)
    for text in (b"ab", b"abcdefghijklmnopq"):
        valid = api.validate({"text_input": np.array([text], object)}, {}, streaming=False)
        assert valid.inputs["tokens"].shape == (1, len(text))


def test_a_draft_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder, other = save(tmp_path / "big", _llama), save(tmp_path / "other", _llama)
    (folder / "link").symlink_to(other)
    for draft in ("../other", str(other), "link"):
        with pytest.raises(TextSettingsError, match="expected a folder below big"):
            served(folder, draft=draft)


def test_what_a_model_does_not_have_cannot_be_asked_for(tmp_path: Path) -> None:
    folder = save(tmp_path, _llama)
    tokens = {"tokens": np.array([[1, 2]], np.int64)}
    with pytest.raises(InvalidRequestError, match="has no draft"):
        served(folder).validate(tokens, {"speculation": "draft"}, streaming=False)
    with pytest.raises(TextSettingsError, match="has no draft"):
        served(folder, speculation="draft")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InvalidRequestError, match="use stop_tokens"):
        served(folder).validate(tokens, {"stop": "end"}, streaming=False)


def test_prompts_that_are_far_too_long_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path, _llama)
    api = served(folder, context_length=32)

    def encode(text: str) -> tuple[int, ...]:
        raise AssertionError(f"{len(text)} characters were read")

    monkeypatch.setattr(api.origin, "encode", encode)
    with pytest.raises(InvalidRequestError, match="has 513 characters; a context of 32 tokens"):
        api.validate({"text_input": np.array([b"a" * 513], object)}, {}, streaming=False)
    with pytest.raises(InvalidRequestError, match="takes 100000 positions"):
        api.validate({"tokens": np.full((1, 100_000), -1, np.int64)}, {}, streaming=False)


def test_the_kind_of_rotary_positions_is_found_however_the_configuration_says_it(tmp_path: Path) -> None:
    from atheria_server.models.text.hugging_face_origin import usable_context

    folder = save(tmp_path, _phi3)
    config = json.loads((folder / "config.json").read_text())
    assert usable_context(config) == 64
    scaling = config.pop("rope_parameters", None) or config.pop("rope_scaling")
    assert usable_context({**config, "rope_scaling": scaling}) == 64
    assert usable_context({"n_positions": 256}) == 256


def test_only_long_texts_are_turned_into_tokens_beside_the_event_loop(tmp_path: Path) -> None:
    api = served(save(tmp_path, _llama))
    for inputs, slow in (
        ({"text_input": np.array([b"a" * 4096], object)}, False),
        ({"text_input": np.array([b"a" * 4 * 16 * 256], object)}, True),
        # `validate` refuses it at once, so it must not wait.
        ({"text_input": np.array([b"a" * (4 * 16 * 256 + 1)], object)}, False),
        ({"text_input": np.array([b"a" * 4097], object)}, True),
        ({"text_input": np.zeros((1,), np.float32)}, False),
        ({"tokens": np.zeros((1, 100_000), np.int64)}, False),
    ):
        assert api.checks_slowly(inputs, {}) is slow
