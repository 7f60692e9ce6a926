"""One-way messages of this node for another that wait for room (C2, C5, C10).

Duty: the way of a send that the link does not take at once, and of a report from node to node.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort

from trionet.handle import MAX_LOCAL, Handle
from trionet.kernel.network import Outgoing
from trionet.kernel.trio_inside import park
from trionet.net.outbound import DONE, IN_LINE, SENT, Outbound, Stage, source_id

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor

#: What is remembered of a one-way message on its way: source, target, command and arguments.
Sent = tuple["Actor | None", Handle, str, tuple[Any, ...], dict[str, Any]]

_log = logging.getLogger("trionet.link")


def sent(message: Outgoing) -> Sent:
    """What is remembered of a message."""
    return (message.source, message.target, message.command, message.args, message.kwargs)


class OutboundSend(Outbound):
    """A one-way message that stands in line; its sender waits for room."""

    stage: Stage
    parked: trio.lowlevel.Task | None

    def transmit(self) -> None:
        """The link has room: hand the message to it."""
        message = self.message
        self.peer.link.send(
            source_id(message),
            message.target.value & MAX_LOCAL,
            message.command,
            self.payload,
            trace=message.trace,
            token=sent(message),
        )
        self.stage = SENT
        self.wake()

    def lost(self, reason: str, *, executed: bool | None) -> None:
        """The link ended before it took the message: a dead letter."""
        self.stage = DONE
        self.peer.lost_send(sent(self.message), reason, executed=executed)
        self.wake()

    async def wait_for_room(self) -> None:
        """Wait until the link has taken the message, or has ended.

        Cancellation: withdraws the message.
        """

        def abort(_: object) -> Abort:
            self.parked = None
            self.stage = DONE
            self.peer.leave_line(self)
            return Abort.SUCCEEDED

        if self.stage is IN_LINE:
            self.parked = trio.lowlevel.current_task()
            await park(abort)


class OutboundReport(Outbound):
    """What tells the other node that a message which it sent reached nobody; nobody waits for it."""

    def transmit(self) -> None:
        """The link has room: hand the report to it."""
        target = self.message.target.value & MAX_LOCAL
        self.peer.link.send(0, target, self.message.command, self.payload)

    def lost(self, reason: str, *, executed: bool | None) -> None:
        """The link ended before it took the report: this node's log has to do."""
        sender, target, command, why = self.message.args
        text = "dead letter of service %d of %s: %s to %s: %s (%s)"
        _log.warning(text, sender, self.peer.describe(), command, target, why, reason)
