"""Layers that attend to a window: texts are those of the library's own `generate`, with weights from a seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from atheria_server.core.errors import ModelRefusedError
from atheria_server.models.contract import WarmupCall
from atheria_server.models.text.api import TextApi
from atheria_server.models.text.drafts import ModelDrafter
from atheria_server.models.text.sequence import TextSequence
from atheria_server.models.text.settings import TextSettingsError
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.sources.errors import UnusableSourceError
from tests.unit.server.models.text.test_hugging_face import (
    VOCABULARY,
    generate,
    load_network,
    ready,
    save,
    served,
)

pytestmark = [
    # As in test_hugging_face.
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
WINDOW = 16
END = 0
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": END,
    "bos_token_id": 1,
    "pad_token_id": 0,
    "sliding_window": WINDOW,
}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
PROMPTS = [list(range(1, length)) for length in (3, 15, 18, 40, 100)]


def _mistral() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**COMMON))


def _qwen2() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**COMMON, use_sliding_window=True, max_window_layers=1))


def _gemma3() -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    return Gemma3ForCausalLM(Gemma3TextConfig(**COMMON, head_dim=8, layer_types=MIXED))


def _gemma2() -> Any:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    # Caps that bend what these weights make.
    caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0}
    return Gemma2ForCausalLM(
        Gemma2Config(**COMMON, **caps, head_dim=8, query_pre_attn_scalar=8, layer_types=MIXED)
    )


def _gpt_oss() -> Any:
    from transformers import GptOssConfig, GptOssForCausalLM

    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    return GptOssForCausalLM(GptOssConfig(**COMMON, **experts, head_dim=8, layer_types=MIXED))


def _cohere2() -> Any:
    from transformers import Cohere2Config, Cohere2ForCausalLM

    return Cohere2ForCausalLM(Cohere2Config(**COMMON, layer_types=MIXED))


FAMILIES: dict[str, Callable[[], Any]] = {
    "mistral": _mistral,
    "qwen2": _qwen2,
    "gemma3": _gemma3,
    "gemma2": _gemma2,
    "gpt_oss": _gpt_oss,
    "cohere2": _cohere2,
}
OWN_ATTENTION = ("gemma2", "gpt_oss")


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save(tmp_path_factory.mktemp(request.param), FAMILIES[request.param])
    save(folder / "draft", FAMILIES[request.param], seed=1)
    return folder


def texts(folder: Path, **parameters: Any) -> list[list[int]]:
    """Of all prompts, in one running batch."""
    api = ready(folder, **parameters)
    model = LoadedModel(api=api, device="cpu")
    calls = [
        WarmupCall(inputs={"tokens": torch.tensor([prompt]).numpy()}, parameters={"max_new_tokens": 24})
        for prompt in PROMPTS
    ]
    frames = [api.stream_frames(model.batch(call)) for call in calls]
    while api.has_work:
        api.step()
    return [next(made).outputs["tokens"][0].tolist() for made in frames]


def test_texts_longer_than_the_window_are_those_that_the_library_generates(folder: Path) -> None:
    expected = [generate(folder, prompt, 24) for prompt in PROMPTS]
    assert texts(folder, prompt_tokens_per_step=8) == expected
    assert texts(folder, prompt_tokens_per_step=256) == expected


@pytest.mark.parametrize(
    "parameters",
    [
        {"speculation": "ngram", "draft_tokens": 16},
        {"speculation": "draft", "draft_tokens": 16, "draft": "draft"},
        {"prefix_cache": False},
    ],
    ids=["looked_up", "drafted", "alone"],
)
def test_texts_longer_than_the_window_are_the_same_with_other_settings(
    folder: Path, parameters: dict[str, Any]
) -> None:
    expected = [generate(folder, prompt, 24) for prompt in PROMPTS]
    assert texts(folder, prompt_tokens_per_step=8, **parameters) == expected


@pytest.mark.parametrize("seed", [0, 1], ids=["right", "wrong"])
def test_a_draft_whose_cache_slides_proposes_what_the_library_would_make_of_the_whole_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    folder = save(tmp_path, _mistral)
    draft = save(folder / "draft", _mistral, seed=seed)
    rounds: list[tuple[list[int], list[int]]] = []
    released: list[int] = []
    drafted: list[TextSequence] = []
    proposing = ModelDrafter._propose

    def watched(self: ModelDrafter, sequences: Sequence[TextSequence]) -> None:
        drafted.extend(sequences)
        proposing(self, sequences)
        rounds.extend(([*one.prompt.tokens, *one.made], one.proposed) for one in sequences if one.proposed)
        released.extend(slot.length - slot.held for slot in self._slots.values())

    monkeypatch.setattr(ModelDrafter, "_propose", watched)
    found = texts(folder, prompt_tokens_per_step=8, draft="draft", speculation="draft", draft_tokens=16)
    assert found == [generate(folder, prompt, 24) for prompt in PROMPTS]
    assert len(rounds) >= len(PROMPTS)
    for known, proposed in rounds:
        expected = generate(draft, known, len(proposed))
        assert proposed[: len(expected)] == expected
        assert len(proposed) == len(expected) or expected[-1] == END
    assert max(released) > 0
    assert not any(one.undrafted for one in drafted)


def test_what_is_compressed_behind_the_window_of_all_layers_changes_no_text(tmp_path: Path) -> None:
    folder = save(tmp_path, _mistral)
    expected = [generate(folder, prompt, 24) for prompt in PROMPTS]
    compressed = {"kv_precision": "int4", "kv_recent_window": 64, "kv_least_agreement": 0}
    found = texts(folder, prompt_tokens_per_step=8, **compressed, kv_most_divergence=1e6)
    assert found == expected


BLOCK_BYTES = 32 * 2 * 3 * 2 * 8 * 4
"""Keys and values of 32 tokens in 3 layers with 2 heads of 8 numbers."""


def text_of(api: TextApi, prompt: list[int]) -> tuple[list[int], int, int]:
    """A text alone in the running batch: its tokens, how many of the prompt were reused, most bytes of blocks that were held."""
    call = WarmupCall(inputs={"tokens": torch.tensor([prompt]).numpy()}, parameters={"max_new_tokens": 24})
    frames = api.stream_frames(LoadedModel(api=api, device="cpu").batch(call))
    pool = api._ready()._pool
    most = 0
    while api.has_work:
        api.step()
        most = max(most, pool.used_bytes)
    frame = next(frames)
    return frame.outputs["tokens"][0].tolist(), int(frame.parameters["reused_tokens"]), most


def test_what_no_layer_sees_any_more_is_not_kept_and_not_counted(tmp_path: Path) -> None:
    prompt = PROMPTS[-1] * 2
    for family, blocks in (("mistral", 2), ("gemma3", 7)):
        folder = save(tmp_path / family, FAMILIES[family])
        api = ready(folder, prefix_cache=False, prompt_tokens_per_step=8)
        assert api._ready()._pool.bytes_for(len(prompt) + 24) == blocks * BLOCK_BYTES
        made, _, most = text_of(api, prompt)
        assert made == generate(folder, prompt, 24)
        assert most == blocks * BLOCK_BYTES


def test_a_cache_that_holds_the_window_holds_a_context_of_any_length(tmp_path: Path) -> None:
    folder = save(tmp_path, _mistral)
    api = served(folder, cache_bytes=str(2 * BLOCK_BYTES), prompt_tokens_per_step=8)
    api.setup("cpu")
    assert text_of(api, PROMPTS[-1])[0] == generate(folder, PROMPTS[-1], 24)
    api = served(
        save(tmp_path / "mixed", _gemma3), cache_bytes=str(2 * BLOCK_BYTES), prompt_tokens_per_step=8
    )
    with pytest.raises(TextSettingsError, match="raise the budget"):
        api.setup("cpu")


def test_a_cache_that_holds_both_windows_holds_a_context_of_any_length_with_a_draft(tmp_path: Path) -> None:
    folder = save(tmp_path, _mistral)
    save(folder / "draft", _mistral, seed=1)
    # Both hold a window of 16 and a step of 17 tokens, and the draft 16 more, since all that it proposes may be taken back.
    held = (2 + 3) * BLOCK_BYTES
    api = served(folder, cache_bytes=str(held), draft="draft", speculation="draft", prompt_tokens_per_step=8)
    api.setup("cpu")
    assert text_of(api, PROMPTS[-1])[0] == generate(folder, PROMPTS[-1], 24)
    api = served(folder, cache_bytes=str(held - 1), draft="draft", prompt_tokens_per_step=8)
    with pytest.raises(TextSettingsError, match="the draft's cache"):
        api.setup("cpu")


def test_beginnings_longer_than_the_window_are_reused(folder: Path) -> None:
    api = ready(folder, prompt_tokens_per_step=8)
    first, other = [*PROMPTS[-1], 7, 7], [*PROMPTS[-1], 9, 8]
    assert text_of(api, first)[:2] == (generate(folder, first, 24), 0)
    assert text_of(api, other)[:2] == (generate(folder, other, 24), 96)
    # A conversation: its beginning is what was made, of which the text itself held the end only.
    longer = [*first, *text_of(api, first)[0], 5, 6]
    made, reused, _ = text_of(api, longer)
    assert made == generate(folder, longer, 24)
    assert reused >= 96


def test_a_model_whose_window_is_not_obeyed_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from atheria_server.models.text import hugging_face

    monkeypatch.setattr(hugging_face, "within_window", lambda mask, _: mask)
    with pytest.raises(UnusableSourceError, match="serve it by runtime custom"):
        load_network(folder, dtype="fp32", device="cpu")


def test_a_window_of_the_whole_context_is_none(tmp_path: Path) -> None:
    folder = save(tmp_path, _mistral)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "sliding_window": 256}))
    network = load_network(folder, dtype="fp32", device="cpu")
    mask = torch.ones(1, 1, 1, 40, dtype=torch.bool)
    assert network._masks(mask) is mask


def _llama_with_the_key(dtype: torch.dtype = torch.float32, **other: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**{**COMMON, **other})).to(dtype)


def _qwen2_moe() -> Any:
    from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM

    sizes = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4}
    return Qwen2MoeForCausalLM(Qwen2MoeConfig(**{**COMMON, **sizes, "num_experts_per_tok": 2}))


@pytest.mark.parametrize(
    "make",
    [
        _qwen2_moe,
        _llama_with_the_key,
        lambda: _llama_with_the_key(use_sliding_window=False),
        lambda: _llama_with_the_key(sliding_window=256),
        lambda: _llama_with_the_key(sliding_window=512, use_sliding_window=False),
        lambda: _llama_with_the_key(torch.bfloat16),
    ],
    ids=["qwen2_moe", "llama", "llama_false", "llama_context", "llama_beyond", "llama_bfloat16"],
)
def test_a_window_that_the_library_ignores_is_none(tmp_path: Path, make: Callable[[], Any]) -> None:
    folder = save(tmp_path, make)
    network = load_network(folder, dtype="auto", device="cpu")
    mask = torch.ones(1, 1, 1, 40, dtype=torch.bool)
    assert network._masks(mask) is mask


def test_a_window_that_is_obeyed_although_it_is_said_to_be_off_is_obeyed_here_too(tmp_path: Path) -> None:
    folder = save(tmp_path, _mistral)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "use_sliding_window": False}))
    assert texts(folder) == [generate(folder, prompt, 24) for prompt in PROMPTS]


@pytest.mark.parametrize("family", OWN_ATTENTION)
def test_attention_that_no_kernel_knows_is_the_models_own_and_flash_is_refused(
    tmp_path: Path, family: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save(tmp_path, FAMILIES[family])
    with caplog.at_level("INFO", "atheria.text"):
        assert load_network(folder, dtype="bf16", device="cpu").has_own_attention
    assert "event=text_attention kernel=none" in caplog.text
    with pytest.raises(ModelRefusedError, match="no kernel of torch does: set it to automatic"):
        ready(folder, attention="flash").check_device()


def test_a_compressed_cache_serves_attention_of_the_models_own(tmp_path: Path) -> None:
    folder = save(tmp_path, _gpt_oss)
    compressed = {"kv_precision": "int8", "kv_recent_window": 64, "kv_least_agreement": 0}
    found = texts(folder, prompt_tokens_per_step=8, **compressed, kv_most_divergence=1e6)
    assert [len(text) for text in found] == [len(generate(folder, prompt, 24)) for prompt in PROMPTS]
    # Shorter than what stays exact.
    assert found[:4] == [generate(folder, prompt, 24) for prompt in PROMPTS[:4]]


def test_layers_of_another_kind_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, _qwen2)
    config = json.loads((folder / "config.json").read_text())
    kinds = ["chunked_attention", *config["layer_types"][1:]]
    (folder / "config.json").write_text(json.dumps({**config, "layer_types": kinds}))
    with pytest.raises(UnusableSourceError, match="chunked_attention"):
        load_network(folder, dtype="fp32", device="cpu")


def test_a_new_token_attends_to_the_last_of_those_before_it() -> None:
    from atheria_server.models.text.hugging_face import within_window
    from atheria_server.models.text.passes import causal_mask

    mask = causal_mask([3, 0], [2, 1], 2, 5, "cpu")
    assert mask is not None
    found = within_window(mask, 2)[:, 0].int().tolist()
    # The second row's second token fills up, and attends as its first.
    assert found == [[[0, 0, 1, 1, 0], [0, 0, 0, 1, 1]], [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]]
