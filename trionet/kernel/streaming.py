"""How a stream is opened: its call is handed over as any other, and its items come through a feed.

Duty: the part of a node that opens streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import trio

from trionet.errors import DeadlineExceeded, NoSuchCommand
from trionet.handle import Handle
from trionet.kernel.actor import Actor
from trionet.kernel.command import CallOptions
from trionet.kernel.consuming import BUFFER, BUFFER_BYTES, FedReader
from trionet.kernel.context import current_actor, handling
from trionet.kernel.feed import Feed
from trionet.kernel.messaging import Messaging
from trionet.kernel.network import Outgoing
from trionet.kernel.patience import choose_deadline
from trionet.kernel.producing import LocalStream
from trionet.kernel.request import Request
from trionet.kernel.stream import Stream, StreamOptions, stream_name
from trionet.kernel.stream_reader import StreamCall
from trionet.kernel.together import Branch, waiter_for
from trionet.message import NO_CHECKS, are_plain, snapshot_arguments


class Streaming(Messaging):
    """What a node needs for streams."""

    def call_stream(
        self,
        target: Handle | str,
        declared: str | Stream[Any, Any],
        options: StreamOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StreamCall[Any]:
        """Prepare to open a stream; see :class:`StreamCall`."""
        stream_name(declared)
        label = declared.label if isinstance(declared, Stream) else str(declared)
        return StreamCall(partial(self._open_stream, target, declared, options, args, kwargs), label)

    async def _open_stream(
        self,
        target: Handle | str,
        declared: str | Stream[Any, Any],
        options: StreamOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> FedReader:
        name = stream_name(declared)
        checks: Sequence[object] = NO_CHECKS
        if not are_plain(args, kwargs, self.limits):
            args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        await self.breathe()
        where = self.locate(target)
        parent = handling.get()
        deadline, enforced = choose_deadline(
            self.config, declared, where, CallOptions(options.deadline), parent
        )
        trace = next(self._traces) if parent is None else parent.trace
        opener = waiter_for(parent)
        feed = Feed(_items(options, declared), options.buffer_bytes or BUFFER_BYTES)
        source = current_actor.get()
        if isinstance(where, Actor):
            request = LocalStream(source, where, name, args, kwargs, checks, trace)
            self._begin_local(request, feed, opener)
            what = f"{name} of {where.describe()}"
        else:
            message = Outgoing(
                source,
                where,
                name,
                args,
                kwargs,
                deadline,
                enforced,
                trace,
                None if opener is None else parent,
            )
            self.network.stream(message, feed)
            what = f"{name} of {where}"
        reader = FedReader(feed, what, self.breathe, opener)
        with trio.CancelScope(deadline=deadline if enforced else float("inf")) as scope:
            await reader.opened()
        if scope.cancelled_caught:
            raise DeadlineExceeded(f"{what} had not begun at its deadline", feed.executed)
        return reader

    def _begin_local(self, request: LocalStream, feed: Feed, opener: Request | Branch | None) -> None:
        actor = request.target
        check_is_stream(actor, request.command)
        feed.source = request
        request.begin(next(self.sessions), feed, opener if isinstance(opener, Request) else None)
        self._hand_over(request, actor, request.source)


def check_is_stream(actor: Actor, name: str) -> None:
    """Refuse to open what is a command; a name that is neither is found out by the dispatcher.

    Raises:
        NoSuchCommand: if it is a command.
    """
    declared = actor.commands.get(name)
    if declared is not None and not declared.is_stream:
        text = f"{actor.describe()} has no stream {name!r}: it is a command, to be awaited"
        raise NoSuchCommand(text, executed=False)


def _items(options: StreamOptions, declared: str | Stream[Any, Any]) -> int:
    if options.buffer is not None:
        return options.buffer
    return (declared.buffer if isinstance(declared, Stream) else None) or BUFFER
