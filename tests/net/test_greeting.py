"""Handshakes over streams that break."""

from __future__ import annotations

import pytest
import trio

from tests.wire.link_world import accepter, dialer
from trionet.net.greeting import GreetingFailed, greet
from trionet.net.transport import Connection
from trionet.wire.handshake import Dialer


class Breaking(trio.abc.Stream):
    """A stream to a dialer that goes away after it has proved who it is."""

    def __init__(self, peer: Dialer, sends: int) -> None:
        self._peer = peer
        self._sends = sends

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if not self._sends:
            raise trio.BrokenResourceError("connection reset") from ConnectionResetError("connection reset")
        self._sends -= 1
        self._peer.receive_data(bytes(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._peer.data_to_send()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("sends", [0, 1])
async def test_the_answer_or_the_last_word_does_not_get_through(sends: int) -> None:
    """The peer is authenticated by then, but no link comes of it."""
    connection = Connection(Breaking(dialer(), sends), is_safe=True, binding=b"", remote="a test")
    with pytest.raises(GreetingFailed, match="connection reset"):
        await greet(connection, accepter())
