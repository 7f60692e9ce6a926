"""The receiving half of a link, as far as answers go: to the calls and the watches of this side.

Duty: the structure of these frames, and that a peer answers only what is open.
May import: the standard library, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

from typing import Final

from trionet.wire import link_events as events
from trionet.wire import link_frames as frames
from trionet.wire.errors import ProtocolError
from trionet.wire.link_answers import LEFT, LinkAnswers
from trionet.wire.link_frames import LinkSettings, number_of
from trionet.wire.link_stream_receive import StreamReceiver
from trionet.wire.link_user import LinkUser

_NUMBER_SIZE: Final = frames.NUMBER_BODY.size


class AnswerReceiver(StreamReceiver):
    """The part of a receiver that reads answers; see :class:`~.link_receive.LinkReceiver`."""

    def __init__(self, settings: LinkSettings, sender: LinkAnswers, user: LinkUser) -> None:
        super().__init__(settings, sender, user)
        self._replied = user.replied

    def _reply(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        (session,) = frames.NUMBER_BODY.unpack_from(data, start)
        if payload is None:
            size = end - start - _NUMBER_SIZE
            if not 0 <= size <= self._message_size:
                raise ProtocolError(
                    "a reply that is shorter than its fields" if size < 0 else f"a message of {size} bytes"
                )
            payload = data[start + _NUMBER_SIZE : end]
        call = self._sender.call_ended(session)
        if call.abandoned:
            self._happened(events.AbandonedEnded(session, call.token))
        else:
            self._replied(session, call.token, payload)

    def _fail(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        session, code, executed = frames.FAIL_BODY.unpack_from(data, start)
        if executed >= len(frames.EXECUTED):
            raise ProtocolError(f"a failure that was executed in the way {executed}")
        if payload is None:
            payload = self._sized(frames.tail(data, start + frames.FAIL_BODY.size, end))
        call = self._sender.call_ended(session)
        if call.abandoned:
            self._happened(events.AbandonedEnded(session, call.token))
            return
        known = frames.EXECUTED[executed]
        self._happened(events.FailureReceived(session, call.token, code, known, payload))

    def _cancelled(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        session = number_of(data, start, end)
        call = self._sender.call_ended(session)
        if not call.cancelled:
            raise ProtocolError(f"session {session} was never cancelled")
        if call.abandoned:
            self._happened(events.AbandonedEnded(session, call.token))
        else:
            self._happened(events.CancelConfirmed(session, call.token))

    def _exit(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        (watch,) = frames.NUMBER_BODY.unpack_from(data, start)
        if payload is None:
            payload = self._sized(frames.tail(data, start + _NUMBER_SIZE, end))
        token = self._sender.watch_ended(watch)
        if token is not LEFT:
            self._happened(events.ExitReceived(watch, token, payload))

    def _unwatched(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        watch = number_of(data, start, end)
        if self._sender.watch_ended(watch) is not LEFT:
            raise ProtocolError(f"watch {watch} was never left")
