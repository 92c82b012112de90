"""Every command reports its errors in one way. Used by `__main__` for each of them."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from atheria_cli.errors import CommandError, ExitCode


class ReportingCommand(TyperCommand):
    """A CommandError becomes one sentence on stderr and its exit code; anything else is a fault of ours and shows itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words. A file after --output is told which option writes files."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            saves = any(one.name == "save" for one in self.params)
            if saves and error.param is not None and error.param.name == "output":
                error.message += " --save writes a file."
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            typer.echo(f"{ctx.info_name}: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(ExitCode.INTERRUPTED) from error
