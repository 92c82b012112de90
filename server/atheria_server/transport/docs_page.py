"""The OpenAPI document as one HTML page without scripts: /docs works where no CDN can be reached.

Called by `rest`. For each call its parameters, a command to copy, and its answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
details{border:1px solid #8886;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}summary{cursor:pointer}
code,pre{font:14px/1.45 ui-monospace,monospace}pre{overflow:auto;background:#8882;padding:.6rem;border-radius:.3rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}
.method{display:inline-block;min-width:3.2rem;font-weight:600}
"""
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The page's Content-Security-Policy: nothing is loaded."""
EXAMPLE_CHARACTERS: Final = 4000
"""Longer examples are left to /openapi.json."""


def docs_page(document: Mapping[str, Any], base_url: str) -> str:
    """HTML. `base_url` is what the caller reached the server by, without a slash at its end."""
    info = document["info"]
    title = escape(info["title"])
    calls = "".join(
        _call(method, path, operation, base_url)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code></summary>{_pre(schema)}</details>"
        for name, schema in document["components"]["schemas"].items()
    )
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{escape(info.get('summary', ''))} {escape(info.get('description', ''))} "
        f"Server {escape(info['version'])}; <a href='openapi.json'>openapi.json</a>.</p>"
        f"<h2>Calls</h2>{calls}<h2>Schemas</h2>{schemas}</html>\n"
    )


def _call(method: str, path: str, operation: Mapping[str, Any], base_url: str) -> str:
    parts = [f"<p>{escape(operation['description'])}</p>"] if "description" in operation else []
    if parameters := operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{escape(p['name'])}</code><td>{escape(p['in'])}<td>{escape(p.get('description', ''))}"
            for p in parameters
        )
        parts.append(f"<table>{rows}</table>")
    parts.append(f"<pre>{escape(_command(method, path, operation, base_url))}</pre>")
    answers = "".join(
        f"<tr><td>{escape(status)}<td>{escape(answer.get('description', ''))}<td>{', '.join(_links(answer))}"
        for status, answer in sorted(operation["responses"].items())
    )
    return (
        f"<details><summary><span class='method'>{escape(method.upper())}</span> "
        f"<code>{escape(path)}</code> {escape(operation.get('summary', ''))}</summary>"
        f"{''.join(parts)}<table>{answers}</table></details>"
    )


def _command(method: str, path: str, operation: Mapping[str, Any], base_url: str) -> str:
    command = f"curl {base_url}{path}" if method == "get" else f"curl -X {method.upper()} {base_url}{path}"
    if "101" in operation["responses"]:
        return f"websocat {base_url.replace('http', 'ws', 1)}{path}"
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" not in content:
        return command
    body = json.dumps(content["example"])
    if len(body) > EXAMPLE_CHARACTERS:
        return f"{command} -H 'content-type: application/json' -d @request.json  # example: openapi.json"
    quoted = body.replace("'", "'\\''")
    return f"{command} \\\n  -H 'content-type: application/json' \\\n  -d '{quoted}'"


def _links(answer: Mapping[str, Any]) -> Iterator[str]:
    """To the schemas of an answer."""
    for kind, content in answer.get("content", {}).items():
        schema = content.get("schema", {})
        name = schema.get("$ref", schema.get("items", {}).get("$ref", "")).rpartition("/")[2]
        yield f"<a href='#{escape(name)}'>{escape(name)}</a>" if name else f"<code>{escape(kind)}</code>"


def _pre(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2))}</pre>"
