"""The Trio side of a handshake, for both ends.

Duty: run a machine of trionet.wire.handshake over a connection, within its time.
"""

from __future__ import annotations

import ssl

import trio

from trionet.net.transport import Connection, is_refusal
from trionet.wire.agreement import Agreement, Authenticated, HandshakeFailed, LinkPeer, Verdict
from trionet.wire.handshake import Accepter, Dialer, Handshake

_READ_SIZE = 4096


class GreetingFailed(Exception):
    """No link came of a connection; the text says why, for this end's log.

    Args:
        reason: why.
        verdict: what that says about the other end.
    """

    def __init__(self, reason: str, verdict: Verdict = Verdict.UNCLEAR) -> None:
        super().__init__(reason)
        self.verdict: Verdict = verdict


async def greet(connection: Connection, handshake: Dialer | Accepter) -> LinkPeer:
    """Speak the handshake until both ends are authenticated; the caller then agrees or refuses.

    Waits for the peer; put it under a deadline.

    Raises:
        GreetingFailed: if the peer is not who it should be, or went away.
    """
    try:
        while True:
            data = handshake.data_to_send()
            if data:
                await connection.stream.send_all(data)
            event = handshake.next_event()
            if isinstance(event, Authenticated):
                return event.peer
            if isinstance(event, HandshakeFailed):
                raise GreetingFailed(event.reason, event.verdict)
            received = await connection.stream.receive_some(_READ_SIZE)
            if received:
                handshake.receive_data(bytes(received))
            else:
                handshake.receive_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError) as error:
        handshake.receive_eof()
        failure = handshake.next_event()
        if isinstance(failure, Authenticated):  # but the last word of this end did not get through
            failure = handshake.next_event()
        assert isinstance(failure, HandshakeFailed)
        verdict = Verdict.FOREIGN if is_refusal(error.__cause__ or error) else failure.verdict
        raise GreetingFailed(f"{failure.reason} ({error.__cause__ or error})", verdict) from error


async def agreed(connection: Connection, handshake: Handshake) -> Agreement:
    """Accept the authenticated peer.

    Raises:
        GreetingFailed: if it went away meanwhile.
    """
    try:
        agreement = handshake.agree()
        rest = handshake.data_to_send()
        if rest:
            await connection.stream.send_all(rest)
    except (RuntimeError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise GreetingFailed(f"the peer went away: {error}") from error
    return agreement
