"""Does a service answer?

Duty: one message that every service answers, whatever its commands are.
May import: trionet.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from trionet import Node, NoSuchCommand

#: A command that no service can have: its refusal has gone the way of every message.
NO_COMMAND: Final = ".ping"


async def ping(node: Node, target: Any) -> None:
    """Wait until a message has gone through the inbox of a service to a free slot, and has been answered.

    Cancellation: nothing is left.

    Raises:
        CallError: if it does not answer.
    """
    with suppress(NoSuchCommand):
        await node.call(target, NO_COMMAND)
