"""One line that somebody asks: which command, of which node, about which service.

Duty: what a command gets, and how the words of a line find their nodes and services.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from trionet import Handle, Node, NoSuchService
from trionet.services.console.values import BadLine
from trionet.services.remote_node import RemoteNode

Say = Callable[[Any], Awaitable[None]]
#: The largest local id; the text of a handle with no more is meant for the node that is asked.
_MOST_LOCAL: Final = 0xFFFFFF


@attrs.frozen
class Ask:
    """What a command is asked.

    Args:
        node: the node of the console.
        harbor: the harbor id of the node that is meant; None if none was named.
        rest: the line after the name of the command.
        say: gives one of several results.
    """

    node: Node
    harbor: int | None
    rest: str
    say: Say

    @property
    def remote(self) -> RemoteNode:
        """The node that is meant; the console's own if none was named."""
        return RemoteNode(self.node, self.node.harbor if self.harbor is None else self.harbor)

    def words(self, usage: str, least: int, most: int) -> list[str]:
        """Split the rest of the line into words.

        Raises:
            BadLine: if there are too few or too many.
        """
        words = self.rest.split()
        if not least <= len(words) <= most:
            raise BadLine(f"found {len(words)} words after the command, expected: {usage}")
        return words

    def no_words(self, usage: str) -> None:
        """Refuse words after the command.

        Raises:
            BadLine: if there are some.
        """
        self.words(usage, 0, 0)

    def place(self, target: str) -> tuple[RemoteNode, str]:
        """Find the node of a service by the text of its address.

        Returns:
            The node, and the address as that node understands it.

        Raises:
            BadLine: if it is no address, or one of another node than the one that was named.
            NoSuchService: if nobody owns the name.
        """
        if target.startswith(":"):
            return self._place_of_handle(target)
        if target.startswith("."):
            return self.remote, target
        owner = self.node.lookup(target)
        if owner is None:
            self.node.handle_of(target)  # raises, and proposes a name that is near
            raise NoSuchService(f"nobody owns the name {target!r}", executed=False)
        return self._on(owner.harbor, target), str(owner)

    def _place_of_handle(self, text: str) -> tuple[RemoteNode, str]:
        try:
            value = int(text[1:], 16)
        except ValueError:
            raise BadLine(
                f"found {text[:20]!r}, expected a handle as in :01000007 or :7, or a name"
            ) from None
        if not 0 < value <= 0xFFFFFFFF:
            raise BadLine(f"found {text[:20]!r}, expected a handle of one to eight hex digits")
        if value <= _MOST_LOCAL:
            remote = self.remote
            return remote, f":{remote.harbor << 24 | value:08x}"
        return self._on(value >> 24, text), f":{value:08x}"

    def _on(self, harbor: int, text: str) -> RemoteNode:
        if self.harbor is not None and harbor != self.harbor:
            raise BadLine(f"found @{self.harbor} and {text}, which is on node {harbor}")
        return RemoteNode(self.node, harbor)

    async def handle(self, target: str) -> Handle:
        """Find a service by the text of its address.

        Cancellation: nothing is left.

        Raises:
            BadLine: as :meth:`place`.
            NoSuchService: if nobody owns the name.
            NodeDown: if there is no link to its node.
        """
        remote, address = self.place(target)
        if remote.harbor == self.node.harbor or not address.startswith("."):
            return self.node.handle_of(address)
        found = (await remote.names()).get(address)
        if found is None:
            raise NoSuchService(f"nobody owns the name {address!r} on node {remote.harbor}", executed=False)
        return found


@attrs.frozen
class Entry:
    """A command.

    Args:
        usage: how it is written.
        help: what it does, in a line.
        run: answers; what it returns is the result.
    """

    usage: str
    help: str
    run: Callable[[Ask], Awaitable[Any]]
