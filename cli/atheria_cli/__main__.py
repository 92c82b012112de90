"""Entry point of `atheria`: parses arguments and hands over; no logic lives here."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from atheria_cli.demo.cluster import Cluster, ClusterError
from atheria_cli.demo.show import DemoOptions, run_demo
from atheria_cli.rollout import Verb, command_rollout

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Atheria: PyTorch models on Kubernetes, batched, warm, at zero cost when nobody calls."""


@app.command()
def demo(
    local: Annotated[
        bool, typer.Option("--local", help="Use the local cluster of `atheria-local up`.")
    ] = False,
    context: Annotated[str, typer.Option(help="kubectl context of an existing cluster.")] = "",
    values: Annotated[
        list[Path] | None, typer.Option(help="More Helm values files, e.g. your image registry.")
    ] = None,
    picture: Annotated[Path, typer.Option(help="Where the frames are drawn as a PNG.")] = Path(
        ".local/demo-frames.png"
    ),
    repository: Annotated[Path, typer.Option(help="Checkout with charts/ and examples/.")] = Path(),
) -> None:
    """Install Atheria, serve the built-in model, scale it to zero and wake it, on a real cluster."""
    options = DemoOptions(
        repository=repository.resolve(),
        local=local,
        context=context,
        values=tuple(values or ()),
        picture=picture,
    )
    try:
        run_demo(options)
    except ClusterError as error:
        typer.echo(f"demo: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def rollout(
    verb: Annotated[Verb, typer.Argument(help="What to do with the model's rollout.")],
    model: Annotated[str, typer.Argument(help="Name of the AtheriaModel.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
    context: Annotated[str, typer.Option(help="kubectl context; default: the current one.")] = "",
) -> None:
    """Pause, resume, promote or roll back the rollout of a model's newest change."""
    try:
        cluster = Cluster(programs=Path(), context=context)
        typer.echo(command_rollout(cluster, verb, model, namespace, secrets.token_hex(4)))
    except ClusterError as error:
        typer.echo(f"rollout: {error}", err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Console script."""
    app()


if __name__ == "__main__":
    main()
