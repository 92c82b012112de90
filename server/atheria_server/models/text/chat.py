"""Messages of a conversation as one prompt, by the chat template in a model's folder: what transformers'
`apply_chat_template` makes of them, without torch.

Called by `text.hugging_face_origin` in the front. Templates are Jinja, from whoever made the model: they run in Jinja's
sandbox, see plain JSON only, and what they write is bounded between its pieces; the time that they take is not. Jinja is
imported with the first use.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atheria_server.models.contract import InvalidRequestError

if TYPE_CHECKING:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

INPUT_MESSAGES: Final = "messages"
CHAT_ARGUMENTS: Final = "chat_template_kwargs"
TEMPLATE_CHARACTERS_MAX: Final = 1 << 20
ARGUMENTS_CHARACTERS_MAX: Final = 1 << 16
ERROR_CHARACTERS_MAX: Final = 200
DEPTH_MAX: Final = 32
"""Lists and objects in one another: what a template writes with an indent grows with the square of it."""
DEFAULT: Final = "default"
TOOL_USE: Final = "tool_use"
_TEMPLATE: Final = "chat_template.jinja"
_MORE_TEMPLATES: Final = "additional_chat_templates"
_CONFIG: Final = "tokenizer_config.json"
_OLD_TOKENS: Final = "special_tokens_map.json"
_TOKENS: Final = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")
"""Names for it in messages, the first that is given counts."""


class ChatTemplateError(ValueError):
    """A folder's chat template cannot be used; the message says why."""


class ChatTemplate:
    """Of one model."""

    def __init__(self, templates: Mapping[str, str], special_tokens: Mapping[str, str]) -> None:
        """`templates` by name; `special_tokens` as `bos_token` and so on. Raises ChatTemplateError."""
        for text in templates.values():
            if len(text) > TEMPLATE_CHARACTERS_MAX:
                raise ChatTemplateError(
                    f"it has {len(text)} characters; at most {TEMPLATE_CHARACTERS_MAX} are allowed"
                )
        if DEFAULT not in templates:
            raise ChatTemplateError(f"none is called {DEFAULT}, only {', '.join(sorted(templates))}")
        try:
            self._templates = {name: _environment().from_string(text) for name, text in templates.items()}
        except Exception as error:
            raise ChatTemplateError(f"{type(error).__name__}: {error}") from error
        self._special_tokens = dict(special_tokens)

    def render(self, messages: str, arguments: str, characters_max: int) -> str:
        """The prompt of `messages`, a JSON list, so that the model's turn is next. Raises InvalidRequestError.

        `arguments` is a JSON object: `tools`, `documents`, `add_generation_prompt`, and whatever else the template knows.
        """
        given = _arguments(arguments)
        conversation = _conversation(messages, characters_max)
        named = TOOL_USE if given.get("tools") is not None and TOOL_USE in self._templates else DEFAULT
        seen = {"tools": None, "documents": None, "add_generation_prompt": True}
        pieces, length = [], 0
        try:
            for piece in self._templates[named].generate(
                **{**seen, **self._special_tokens, **given, "messages": conversation}
            ):
                pieces.append(piece)
                if (length := length + len(piece)) > characters_max:
                    break
        except Exception as error:  # a template may fail in any way
            said = str(error)[:ERROR_CHARACTERS_MAX].encode(errors="backslashreplace").decode()
            raise InvalidRequestError(
                f"input {INPUT_MESSAGES} does not suit the model's chat template: {said or type(error).__name__}"
            ) from error
        if length > characters_max:
            raise InvalidRequestError(
                f"input {INPUT_MESSAGES} makes a prompt of more than {characters_max} characters, which the context cannot hold: "
                "send fewer or shorter messages"
            )
        return "".join(pieces)


def read_templates(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Templates by name, and special tokens, of a folder of transformers; no templates where it has none.

    Files of their own come before those in tokenizer_config.json. Raises ChatTemplateError.
    """
    config = _object(folder / _CONFIG)
    old = {} if "added_tokens_decoder" in config else _object(folder / _OLD_TOKENS)
    tokens = {name: _content(one) for name in _TOKENS if (one := old.get(name, config.get(name))) is not None}
    files = {folder / _TEMPLATE: DEFAULT}
    files |= {path: path.stem for path in sorted((folder / _MORE_TEMPLATES).glob("*.jinja"))}
    try:
        templates = {name: path.read_text(encoding="utf-8") for path, name in files.items() if path.is_file()}
    except (OSError, ValueError) as error:
        raise ChatTemplateError(f"it cannot be read: {error}") from error
    return templates or _inline(config.get("chat_template")), tokens


def _inline(found: Any) -> dict[str, str]:
    """Of tokenizer_config.json: a template, or a list of named ones."""
    if found is None:
        return {}
    try:
        named = (
            {one["name"]: one["template"] for one in found} if isinstance(found, list) else {DEFAULT: found}
        )
    except (KeyError, TypeError) as error:
        raise ChatTemplateError(f"chat_template in {_CONFIG} is a list without name and template") from error
    if not all(isinstance(text, str) for text in (*named, *named.values())):
        raise ChatTemplateError(f"chat_template in {_CONFIG} is no text")
    return named


def _object(path: Path) -> dict[str, Any]:
    """{} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ChatTemplateError(f"{path.name} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _content(token: Any) -> str:
    """A token is a text, or an object that has more to say of it."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _conversation(text: str, characters_max: int) -> list[dict[str, Any]]:
    if len(text) > characters_max:
        raise InvalidRequestError(
            f"input {INPUT_MESSAGES} has {len(text)} characters; at most {characters_max} are allowed"
        )
    found = _json(text)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise InvalidRequestError(
            f"input {INPUT_MESSAGES} is {text[:200]!r:.200}; expected a JSON list of one or more messages, nested at most "
            f'{DEPTH_MAX} deep, such as [{{"role": "user", "content": "Hello"}}]'
        )
    return [_message(one) for one in found]


def _message(given: Mapping[str, Any]) -> dict[str, Any]:
    """As the library gives it to templates: without what is null, and with what was thought under the two names for it."""
    message = {name: value for name, value in given.items() if value is not None}
    thought = next((message[name] for name in _REASONING if name in message), None)
    return message if thought is None else {"thinking": thought, **message, "reasoning_content": thought}


def _arguments(text: str) -> dict[str, Any]:
    found = _json(text) if len(text) <= ARGUMENTS_CHARACTERS_MAX else None
    if not isinstance(found, dict) or INPUT_MESSAGES in found:
        raise InvalidRequestError(
            f"parameter {CHAT_ARGUMENTS} is {text[:200]!r:.200}; expected a JSON object of at most {ARGUMENTS_CHARACTERS_MAX} characters, "
            f'nested at most {DEPTH_MAX} deep, without {INPUT_MESSAGES}, such as {{"enable_thinking": false}}'
        )
    return found


def _json(text: str) -> Any:
    """None for what is no JSON, or nested deeper than DEPTH_MAX."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    level = [found]
    for _ in range(DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
    return None if any(isinstance(one, dict | list) for one in level) else found


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    """With what templates of the library may use."""
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the model says, for training: here it is its body."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja wants it

        def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    class Namespace(jinja2.utils.Namespace):
        """Without names that lead out of the sandbox."""

        def __init__(*positional: Any, **named: Any) -> None:
            self, *rest = positional
            given = dict(*rest, **named)
            for name in given:
                _check_name(name)
            jinja2.utils.Namespace.__init__(self, given)

        def __setitem__(self, name: str, value: Any) -> None:
            _check_name(name)
            super().__setitem__(name, value)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    # Jinja's own escapes for HTML.
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": time.strftime,
        "namespace": Namespace,
        "dict": _Dict(),
    }
    return environment


class _Dict:
    """Makes dictionaries, and leads to no type."""

    def __call__(self, *positional: Any, **named: Any) -> dict[Any, Any]:
        """As `dict`."""
        return dict(*positional, **named)

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """As `dict.fromkeys`."""
        return dict.fromkeys(keys, value)


def _check_name(name: object) -> None:
    if str(name).startswith("_"):
        raise ValueError(f"a namespace has no {name!r}: names that begin with _ are not allowed")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


class Chat:
    """A template, and the tokens of what it writes."""

    def __init__(self, template: ChatTemplate, encode: Callable[[str], tuple[int, ...]]) -> None:
        """`encode` puts nothing before or behind the text: the template has written it."""
        self._template = template
        self._encode = encode

    def tokens(self, messages: str, arguments: str, characters_max: int) -> tuple[int, ...]:
        """See `ChatTemplate.render`. Raises InvalidRequestError."""
        return self._encode(self._template.render(messages, arguments, characters_max))
