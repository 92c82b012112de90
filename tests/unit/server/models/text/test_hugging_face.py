from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from atheria_server.models.contract import InvalidRequestError, WarmupCall, is_continuous
from atheria_server.models.registry import load_served
from atheria_server.models.text.api import TextApi
from atheria_server.models.text.settings import TextSettingsError
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.sources.errors import UnusableSourceError

pytestmark = [
    # transformers imports every quantisation library that is installed, with what their sources warn of.
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
VOCABULARY = 256
PROMPTS = ("a", "the quick brown fox jumps over the lazy dog", "äöü €", "ab" * 40)


SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "eos_token_id": 0,
    "bos_token_id": 1,
}


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**SIZES))


def _qwen2() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**{**SIZES, "num_key_value_heads": 1}, tie_word_embeddings=True))


def _gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=256,
            eos_token_id=0,
            bos_token_id=1,
        )
    )


def _cohere() -> Any:
    from transformers import CohereConfig, CohereForCausalLM

    return CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.25))


def _granite() -> Any:
    from transformers import GraniteConfig, GraniteForCausalLM

    return GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=8.0, embedding_multiplier=3.0))


FAMILIES = {"llama": _llama, "qwen2": _qwen2, "gpt2": _gpt2, "cohere": _cohere, "granite": _granite}


def save(folder: Path, make: Callable[[], Any], seed: int = 0) -> Path:
    """A folder as the library writes it, with weights from a seed that are large enough for texts that vary."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim == 2:
                    weight.mul_(8 if "embed" in name or "wte" in name else 3)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp(request.param), FAMILIES[request.param])


def load_network(folder: Path, *, dtype: str, device: str) -> Any:
    from atheria_server.models.text import hugging_face

    return hugging_face.load_network(folder, dtype=dtype, device=device)


def served(folder: Path, **parameters: Any) -> TextApi:
    api = load_served(f"file://{folder}", {"runtime": "text", **parameters}, "").main
    assert is_continuous(api)
    assert isinstance(api, TextApi)
    return api


def ready(folder: Path, **parameters: Any) -> TextApi:
    api = served(folder, cache_bytes="4Mi", **parameters)
    api.setup("cpu")
    return api


def generate(folder: Path, tokens: list[int], count: int) -> list[int]:
    """What the library itself makes of it, greedily."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    given = torch.tensor([tokens])
    made = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    return [int(token) for token in made[0, len(tokens) :]]


def test_texts_in_one_running_batch_are_those_that_the_library_generates(folder: Path) -> None:
    api = ready(folder, prompt_tokens_per_step=16)
    model = LoadedModel(api=api, device="cpu")
    frames = []
    for prompt in PROMPTS:
        call = WarmupCall(
            inputs={"text_input": np.array([prompt.encode()], object)}, parameters={"max_new_tokens": 24}
        )
        batch = model.batch(call)
        frames.append((batch.inputs["tokens"][0].tolist(), api.stream_frames(batch)))
    while api.has_work:
        api.step()
    different = set()
    for tokens, made in frames:
        frame = next(made)
        expected = generate(folder, tokens, 24)
        assert frame.outputs["tokens"][0].tolist() == expected
        different.add(tuple(expected))
        text = bytes(token_bytes(folder, expected)).decode(errors="replace")
        assert frame.outputs["text_output"][0].decode() == text
    assert len(different) == len(PROMPTS)


def token_bytes(folder: Path, tokens: list[int]) -> bytes:
    """A token of the test's tokenizer is a byte, under the name that ByteLevel gives it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    names = {chr(value): value for value in (*range(33, 127), *range(161, 173), *range(174, 256))}
    missing = [value for value in range(256) if value not in names.values()]
    names |= {chr(256 + at): value for at, value in enumerate(missing)}
    return bytes(names[tokenizer.id_to_token(token)] for token in tokens)


def test_a_draft_below_the_folder_changes_no_token(tmp_path: Path) -> None:
    folder = save(tmp_path / "big", _llama)
    save(folder / "draft", _llama, seed=1)
    api = ready(folder, draft="draft")
    call = {"max_new_tokens": 20}
    model = LoadedModel(api=api, device="cpu")
    inputs = {"text_input": np.array([b"hello there"], object)}
    plain = model.compute(WarmupCall(inputs=inputs, parameters=call))
    drafted = model.compute(WarmupCall(inputs=inputs, parameters={**call, "speculation": "draft"}))
    assert plain["tokens"].tolist() == drafted["tokens"].tolist()


def test_the_front_knows_a_folder_without_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    folder = save(tmp_path, _gpt2)
    code = (
        "import sys; from atheria_server.models.registry import load_served\n"
        f"api = load_served('file://{folder}', {{'runtime': 'text'}}, '').main\n"
        "api.metadata(); api.validate(api.warmup_calls((), 1)[0].inputs, {}, streaming=False)\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_calls_that_cannot_be_are_refused_by_name(folder: Path) -> None:
    api = served(folder)

    def refused(inputs: dict[str, Any], words: str, **parameters: Any) -> None:
        with pytest.raises(InvalidRequestError, match=words):
            api.validate(inputs, parameters, streaming=False)

    text = {"text_input": np.array([b"abc"], object)}
    tokens = {"tokens": np.array([[1, 2]], np.int64)}
    refused({}, r"inputs are \[\]; expected exactly one of text_input or tokens")
    refused({**text, **tokens}, "expected exactly one of")
    refused({"text_input": np.array([b"a", b"b"], object)}, r"shape \[2\]; expected \[1\]")
    refused({"text_input": np.array([b"\xff"], object)}, "is not UTF-8")
    refused({"text_input": np.array([b""], object)}, "no token at all")
    refused({"tokens": np.array([[1, 256]], np.int64)}, "token 256; allowed: 0 to 255")
    refused({"tokens": np.zeros((1, 0), np.int64)}, r"shape \[1, 0\]")
    refused({"tokens": np.ones((1, 256), np.int64)}, "takes 256 positions")
    refused(text, "max_new_tokens is 300; together at most 256", max_new_tokens=300)
    refused(text, "parameter temperature is -1", temperature=-1)
    refused(text, "unknown parameter 'beams'", beams=3)
    valid = api.validate({"tokens": np.ones((1, 250), np.int64)}, {}, streaming=True)
    assert valid.parameters["max_new_tokens"] == 6


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"dtype": "int3"}, "parameter dtype is 'int3'"),
        ({"draft": "nowhere"}, "parameter draft is 'nowhere'"),
        ({"context_length": 257}, "parameter context_length is 257; allowed: 1 to 256"),
        ({"cache_bytes": "lots"}, "parameter cache_bytes is 'lots'"),
        ({"kv_precision": "int3"}, "parameter kv_precision is 'int3'"),
        ({"temperature": 101}, "parameter temperature is 101"),
        ({"top": 1}, "unknown parameter 'top'"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(
    tmp_path: Path, parameters: dict[str, Any], words: str
) -> None:
    folder = save(tmp_path, _gpt2)
    with pytest.raises(TextSettingsError, match=words):
        served(folder, **parameters)


def test_a_cache_that_holds_no_context_is_refused_at_the_start(folder: Path) -> None:
    api = served(folder, cache_bytes=1000)
    with pytest.raises(TextSettingsError, match="raise the budget"):
        api.setup("cpu")


def test_folders_that_cannot_be_served_say_why(tmp_path: Path) -> None:
    with pytest.raises(UnusableSourceError, match=r"config\.json cannot be read"):
        served(tmp_path)
    folder = save(tmp_path / "m", _gpt2)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnusableSourceError, match="is no causal language model"):
        served(folder).setup("cpu")


@pytest.mark.parametrize("make", [_cohere, _granite])
def test_a_model_that_does_to_its_logits_what_is_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    from atheria_server.models.text import hugging_face_head

    monkeypatch.setattr(hugging_face_head, "_number", lambda *given: given[-1])
    with pytest.raises(UnusableSourceError, match="does something to its logits"):
        load_network(save(tmp_path, make), dtype="fp32", device="cpu")


def _with_key(**key: float) -> Callable[[], Any]:
    def make() -> Any:
        model = _llama()
        for name, value in key.items():
            setattr(model.config, name, value)
        return model

    return make


def _hyperclovax() -> Any:
    from transformers import HyperCLOVAXConfig, HyperCLOVAXForCausalLM

    return HyperCLOVAXForCausalLM(HyperCLOVAXConfig(**SIZES, logits_scaling=0.9))


@pytest.mark.parametrize(
    "make",
    [
        _cohere,
        _granite,
        _with_key(logit_scale=0.75),
        _with_key(final_logit_softcapping=30.0),
        _hyperclovax,
    ],
    ids=["cohere", "granite", "ignores_scale", "ignores_cap", "multiplies"],
)
def test_logits_are_those_of_the_whole_model_whatever_its_architecture_makes_of_a_key(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    network = load_network(save(tmp_path, make), dtype="bf16", device="cpu")
    tokens = torch.arange(1, 9)[None]
    with torch.inference_mode():
        expected = network.model(tokens).logits.float()
        hidden = network._body(tokens).last_hidden_state
        assert torch.equal(network.logits(hidden), expected)
