"""``trionet keygen``: a new secret for a cluster."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from trionet.kernel.seams import Seams
from trionet.program import EXIT_CRASH, EXIT_USAGE
from trionet.wire.secrets import SECRET_SIZE, format_secret

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet keygen cluster.key

  trionet keygen >> cluster.key

[bold]Exit codes[/bold]  0 done; 1 the file could not be written; 2 it is there already, and stays as it is.
"""
_STDOUT: Final = Path("-")

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def keygen(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A new file, which only its owner can read; - or none prints.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a secret for a cluster; give the same file to each of its nodes."""
    text = format_secret(Seams().random.randbytes(SECRET_SIZE))
    if file is None or file == _STDOUT:
        typer.echo(text, nl=False)
        return
    try:
        _write(file, text)
    except FileExistsError:
        typer.echo(f"{file}: found a file, expected none; a secret is not overwritten", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        typer.echo(f"{file}: found no place for a file: {reason}", err=True)
        raise typer.Exit(EXIT_CRASH) from None


def _write(file: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment; what was begun and failed is removed.

    Raises:
        FileExistsError: if it is there already.
        OSError: if it cannot be written.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
    except OSError:
        file.unlink()
        raise
