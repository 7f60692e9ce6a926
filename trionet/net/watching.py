"""Watches across one link: of services there, and of services here (C15).

Duty: who is told of an end on the other side of the link.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trionet.errors import BadMessage
from trionet.handle import Handle
from trionet.kernel.context import current_actor
from trionet.kernel.watch import Exit, Reason
from trionet.net.desk import NODE_ID
from trionet.net.failures import cut
from trionet.net.link_end import LinkEnd
from trionet.wire import link_events as events
from trionet.wire.link_errors import LinkBusy, LinkNotOpen

_REASONS: Final = ("stopped", "failed", "killed", "node down", "gone")


class Watching(LinkEnd):
    """The part of a peer that watches."""

    _watched: dict[int, Callable[[], None]]

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """Watch a service of the other node; returns what ends the watch.

        Who watches is the service of the current task, so that it is told after what was sent to it (C15).
        """
        watcher = current_actor.get()
        source = NODE_ID if watcher is None else watcher.handle.local
        try:
            watch = self.link.watch(source, handle.local, token=(handle, tell))
        except (LinkNotOpen, LinkBusy):
            tell(Exit(handle, "node down"))
            return lambda: None
        self._pump.kick()

        def leave() -> None:
            if self.is_open and self.link.is_open:
                self.link.unwatch(watch)
                self._pump.kick()

        return leave

    def _on_watch(self, event: events.WatchReceived) -> None:
        actor = self.node.actors.get(event.target)
        watch = event.watch

        def tell(exit_: Exit) -> None:
            self._watched.pop(watch, None)
            if self.link.is_open:
                self.link.exited(
                    watch,
                    self.codec.encode([exit_.reason, None if exit_.error is None else cut(exit_.error)]),
                )
                self._pump.kick()

        if actor is None:
            tell(self.node.remembered_exit(self.local_handle(event.target)))
        else:
            self._watched[watch] = actor.watch(tell)

    def _on_unwatch(self, event: events.UnwatchReceived) -> None:
        leave = self._watched.pop(event.watch, None)
        if leave is not None:
            leave()

    def _on_exit(self, event: events.ExitReceived) -> None:
        handle, tell = event.token
        reason: Reason = "gone"
        text: str | None = None
        try:
            content, _ = self.codec.decode(event.payload)
        except BadMessage:
            content = None
        if isinstance(content, list) and len(content) == 2 and content[0] in _REASONS:
            reason = content[0]
            text = content[1] if isinstance(content[1], str) else None
        tell(Exit(handle, reason, text))
