"""Prompts of messages are those of the library's own `apply_chat_template`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.text import chat
from atheria_server.models.text.api import TextApi
from tests.unit.server.models.text.test_hugging_face import _llama, save, served

pytestmark = [
    # As in test_hugging_face.
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
CHATML = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message['content'] | trim }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STRICT = """{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must take turns') }}
    {%- endif %}
    {%- if loop.index > 40 %}{% break %}{% endif %}
[{{ message.role }}] {{ message.content }}
{%- endfor %}
"""
EVERYTHING = """{% set ns = namespace(count=0, last='') %}
{% set names = dict(user='U', assistant='A') %}
{% for message in messages %}
    {% set ns.count = ns.count + 1 %}
    {% if message.role == 'assistant' %}
        {% generation %}
{{ names['assistant'] }}:{{ message.content }}{{ message.reasoning_content }}{{ message.tool_calls }}
        {% endgeneration %}
    {% else %}
{{ names.get(message.role, '?') }}:{{ message.content }}
    {% endif %}
{% endfor %}
{{ ns.count }} {{ tools | tojson(indent=1) if tools else 'no tools' }} {{ documents }} {{ strftime_now('%%') }}
{% if enable_thinking is defined and not enable_thinking %}<nothink/>{% endif %}
{%- if add_generation_prompt %}A:{% endif %}"""
TEMPLATES = {"chatml": CHATML, "strict": STRICT, "everything": EVERYTHING}
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "  Wie geht's? <b>äöü €</b> "},
        {"role": "assistant", "content": "Gut", "thinking": "hm", "tool_calls": None},
        {"role": "user", "content": '{{ 7 * 7 }} {% raise %} \\ "quoted"'},
    ],
]
ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"add_generation_prompt": False},
    {"enable_thinking": False, "tools": [{"name": "add", "parameters": {"ä": [1, 2.5, None]}}]},
]


def a_folder(path: Path, template: Any) -> Path:
    """As the library saves a tokenizer with a template; its own rule adds tokens at the ends, which a template must not get."""
    from transformers import PreTrainedTokenizerFast

    folder = save(path, _llama)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(
        single="a $A b",
        special_tokens=[("a", tokenizer.token_to_id("a")), ("b", tokenizer.token_to_id("b"))],
    )
    library = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="a", eos_token="b")
    library.chat_template = template
    library.save_pretrained(folder)
    return folder


def the_librarys(folder: Path, messages: Any, **arguments: Any) -> list[int]:
    from transformers import AutoTokenizer

    given = {"add_generation_prompt": True, **arguments}
    found = AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, **given)
    return list(found["input_ids"])


def ours(api: TextApi, messages: Any, **arguments: Any) -> list[int]:
    text = messages if isinstance(messages, str) else json.dumps(messages)
    parameters = {chat.CHAT_ARGUMENTS: json.dumps(arguments)} if arguments else {}
    valid = api.validate({"messages": np.array([text.encode()], object)}, parameters, streaming=False)
    return list(valid.inputs["tokens"][0])


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_prompts_of_messages_are_the_librarys(tmp_path: Path, name: str) -> None:
    folder = a_folder(tmp_path, TEMPLATES[name])
    api = served(folder, context_length=256)
    for messages in CONVERSATIONS:
        for arguments in ARGUMENTS:
            assert ours(api, messages, **arguments) == the_librarys(folder, messages, **arguments)


def test_a_template_of_its_own_for_tools_is_used_with_tools(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, {"default": "plain", "tool_use": "tools{{ tools | tojson }}"})
    api = served(folder)
    for arguments in ARGUMENTS:
        expected = the_librarys(folder, CONVERSATIONS[0], **arguments)
        assert ours(api, CONVERSATIONS[0], **arguments) == expected


def test_a_template_in_the_tokenizers_configuration_is_found_and_one_in_a_file_comes_first(
    tmp_path: Path,
) -> None:
    folder = a_folder(tmp_path, None)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "chat_template": "inline"}))
    assert ours(served(folder), CONVERSATIONS[0]) == the_librarys(folder, CONVERSATIONS[0])
    named = [{"name": "default", "template": "named"}, {"name": "rag", "template": "other"}]
    path.write_text(json.dumps({**config, "chat_template": named}))
    assert ours(served(folder), CONVERSATIONS[0]) == the_librarys(folder, CONVERSATIONS[0])
    (folder / "chat_template.jinja").write_text("of a file")
    assert ours(served(folder), CONVERSATIONS[0]) == the_librarys(folder, CONVERSATIONS[0])
    assert len(ours(served(folder), CONVERSATIONS[0])) == len("of a file")


def test_messages_are_an_input_where_there_is_a_template_and_elsewhere_it_is_said_why_not(
    tmp_path: Path,
) -> None:
    def names(api: TextApi) -> list[str]:
        return [spec.name for spec in api.metadata().inputs]

    folder = a_folder(tmp_path, CHATML)
    assert names(served(folder)) == ["text_input", "tokens", "messages"]
    (folder / "chat_template.jinja").write_text("{% for %}")
    broken = served(folder)
    assert names(broken) == ["text_input", "tokens"]
    assert "chat template cannot be used: TemplateSyntaxError" in broken.metadata().absent["messages"]
    with pytest.raises(InvalidRequestError, match="TemplateSyntaxError"):
        ours(broken, CONVERSATIONS[0])
    (folder / "chat_template.jinja").unlink()
    without = served(folder)
    assert names(without) == ["text_input", "tokens"]
    assert "no chat template" in without.metadata().absent["messages"]
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer.json" in served(folder).metadata().absent["messages"]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("no JSON", "is 'no JSON'; expected a JSON list of one or more messages"),
        ([], "expected a JSON list"),
        (["Hello"], "expected a JSON list"),
        ({"role": "user"}, "expected a JSON list"),
        ("[" * 2000, "expected a JSON list"),
        (
            [{"role": "assistant", "content": "?"}],
            "does not suit the model's chat template: roles must take turns",
        ),
        ([{"role": "user", "content": "x" * 5000}], "has 5033 characters; at most 4096 are allowed"),
    ],
)
def test_messages_that_cannot_be_are_refused(tmp_path: Path, messages: Any, words: str) -> None:
    api = served(a_folder(tmp_path, STRICT), context_length=256)
    with pytest.raises(InvalidRequestError, match="messages") as refused:
        ours(api, messages)
    assert words in str(refused.value)


def test_arguments_that_are_no_object_are_refused(tmp_path: Path) -> None:
    api = served(a_folder(tmp_path, CHATML))
    given = {"messages": np.array([json.dumps(CONVERSATIONS[0]).encode()], object)}
    for arguments in ("[]", "?", '{"messages": []}', "[" * 2000, json.dumps({"a": "x" * 70_000})):
        with pytest.raises(InvalidRequestError, match=r"chat_template_kwargs is .* expected a JSON object"):
            api.validate(given, {chat.CHAT_ARGUMENTS: arguments}, streaming=False)
    with pytest.raises(InvalidRequestError, match="expected exactly one of text_input or tokens or messages"):
        api.validate({**given, "tokens": np.array([[1]], np.int64)}, {}, streaming=False)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__ }}{{ namespace.__init__.__globals__ }}",
        "{% set ns = namespace(__class__='x') %}",
        "{% set ns = namespace() %}{% set ns.__class__ = 'x' %}",
        "{{ messages.append(1) }}",
        "{{ dict.__call__.__globals__ }}",
        "{% for i in range(100000000) %}x{% endfor %}",
        "{% include 'config.json' %}",
    ],
)
def test_a_template_stays_in_its_sandbox(template: str) -> None:
    messages = json.dumps(CONVERSATIONS[0])
    try:
        written = chat.ChatTemplate({"default": template}, {}).render(messages, "{}", 1000)
    except InvalidRequestError:
        return
    assert "<class" not in written
    assert "<built-in" not in written


def test_what_a_template_writes_is_bounded_while_it_writes() -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{{ messages }}{% endfor %}{% endfor %}"
    with pytest.raises(InvalidRequestError, match="makes a prompt of more than 1000 characters"):
        chat.ChatTemplate({"default": endless}, {}).render(json.dumps(CONVERSATIONS[0]), "{}", 1000)


@pytest.mark.parametrize("given", ["tools", "messages"])
def test_what_is_nested_too_deep_is_refused(tmp_path: Path, given: str) -> None:
    api = served(a_folder(tmp_path, CHATML))

    def call(depth: int) -> list[int]:
        """Of an object that is nested so deep, the list or the object of the whole included."""
        nested = json.loads("[" * (depth - 1) + "]" * (depth - 1))
        if given == "tools":
            return ours(api, CONVERSATIONS[0], tools=nested)
        nested = json.loads("[" * (depth - 2) + "]" * (depth - 2))
        return ours(api, [{"role": "user", "content": "x", "more": nested}])

    assert call(chat.DEPTH_MAX)
    with pytest.raises(InvalidRequestError, match="nested at most 32 deep"):
        call(chat.DEPTH_MAX + 1)


def test_what_a_template_says_of_an_error_is_cut_and_can_be_sent(tmp_path: Path) -> None:
    refusing = "{{ raise_exception('no role ' ~ messages[0].role) }}"
    api = served(a_folder(tmp_path, refusing))
    for role, words in (("\ud83d", r"no role \ud83d"), ("x" * 3000, "no role xxx")):
        with pytest.raises(InvalidRequestError) as refused:
            ours(api, [{"role": role, "content": "x"}])
        message = str(refused.value)
        assert words in message
        assert len(message.encode()) < 400


def test_half_a_surrogate_pair_is_the_callers_mistake(tmp_path: Path) -> None:
    api = served(a_folder(tmp_path, CHATML))
    with pytest.raises(InvalidRequestError, match=r"half of a surrogate pair"):
        ours(api, '[{"role": "user", "content": "\\ud83d"}]')


@pytest.mark.parametrize(
    ("messages", "arguments", "slow"),
    [
        (b"x", "", False),
        (b"x" * 4096, "", False),
        (b"x" * 4097, "", True),
        (b"x" * 96, "x" * 4000, False),
        (b"x" * 97, "x" * 4000, True),
        (b"x", "x" * 65_536, True),
        # `validate` refuses these at once, so they must not wait.
        (b"x", "x" * 65_537, False),
        (b"x" * (4 * 16 * 256 + 1), "", False),
    ],
)
def test_messages_that_are_long_with_their_arguments_are_read_beside_the_event_loop(
    tmp_path: Path, messages: bytes, arguments: str, slow: bool
) -> None:
    api = served(a_folder(tmp_path, CHATML))
    parameters = {chat.CHAT_ARGUMENTS: arguments} if arguments else {}
    assert api.checks_slowly({"messages": np.array([messages], object)}, parameters) is slow


def test_arguments_that_are_too_long_are_refused_before_messages_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = served(a_folder(tmp_path, CHATML))

    def read(text: str) -> Any:
        raise AssertionError(f"{len(text)} characters were read")

    monkeypatch.setattr(chat, "_json", read)
    with pytest.raises(InvalidRequestError, match="at most 65536 characters"):
        ours(api, CONVERSATIONS[0], tools="x" * 70_000)
