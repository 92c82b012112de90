"""Entry point of `atheria`: parses arguments and hands over; no logic lives here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atheria_cli.demo.cluster import ClusterError
from atheria_cli.demo.show import DemoOptions, run_demo

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


def main() -> None:
    """Console script."""
    app()


if __name__ == "__main__":
    main()
