"""Options that several commands have, with the same name and meaning in each."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from atheria_cli.completion import contexts, model_names, namespaces


class Output(StrEnum):
    """What a command prints."""

    TABLE = "table"
    """For people."""
    JSON = "json"
    """For programs: one document, or one a line where things happen over time."""


Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        help="Namespace; default: that of the kubectl context.",
        autocompletion=namespaces,
    ),
]
Context = Annotated[
    str, typer.Option(help="kubectl context; default: the current one.", autocompletion=contexts)
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="table for people, json for programs.")]
ModelName = Annotated[
    str, typer.Argument(help="Name of the AtheriaModel.", show_default=False, autocompletion=model_names)
]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Models of every namespace.")]
Files = Annotated[
    list[Path],
    typer.Option(
        "--filename", "-f", help="YAML file or folder, or - for standard input; several times for several."
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", help="NAME=VALUE: JSON, or @file (.npy, .npz, .json, .txt, picture). Several times."
    ),
]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, e.g. steps=8. Several times.")
]
Wanted = Annotated[
    list[str] | None, typer.Option("--want", "-w", help="An output; several times; default: all.")
]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds until the answer, a wake included.")]
Address = Annotated[
    str, typer.Option(help="host:port of gRPC; default: the cluster's gateway by kubectl port-forward.")
]
ApiKeyFile = Annotated[Path | None, typer.Option(help="File with the API key.")]
CaFile = Annotated[
    Path | None, typer.Option("--ca", help="Authority of the gateway's certificate: calls use TLS.")
]
CertificateFile = Annotated[Path | None, typer.Option("--cert", help="The caller's certificate, for mTLS.")]
KeyFile = Annotated[Path | None, typer.Option("--key", help="Its key.")]


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"atheria {version('atheria')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Which this is.")
]
