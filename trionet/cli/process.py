"""The process that a command runs in: its signals and its parent."""

from __future__ import annotations

from typing import Self

import attrs
import typer

from trionet.program import Parent, Stage, StopSignals


@attrs.frozen
class Process:
    """What reaches the process from outside.

    Args:
        stops: the signals that end it.
        parent: who started it and wants to know how far it is.
    """

    stops: StopSignals
    parent: Parent = attrs.field(factory=Parent)

    @classmethod
    def of(cls, context: typer.Context) -> Self:
        """The process of a command; one without signals where the command line is used as a library."""
        return context.obj if isinstance(context.obj, cls) else cls(StopSignals(Stage.LOADING))
