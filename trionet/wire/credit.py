"""Windows: how much may be on its way to, or in the inbox of, one service (C10).

Duty: the two accounts of each receiving service, one at the sender and one at the receiver.
May import: the standard library and trionet.wire.errors.

Theory of operation.  A sender charges a message when it takes it; a receiver charges it when it has come,
and gives credit only after it was taken out of the inbox.  So what the receiver has outstanding is never
more than what the sender has, and a sender that keeps its own rule can never break the receiver's.

Credit goes back in batches of a quarter of a window, so that both ends work at the same time; that of a
message which was withdrawn goes back at once.  A sender that waits for no more than half a window has more
than half of it outstanding, so that such a batch is certain to come.  One that waits for more says so
(*want*, which may overtake large messages), and from then on gets credit whenever everything was taken.
Credit that is left over is given back from time to time (:meth:`ReceiveWindows.sweep`), upon which both ends
forget the account of an idle service.
"""

from __future__ import annotations

from typing import Final

from trionet.wire.errors import ProtocolError

#: Batches in which the credit of a window goes back.
BATCHES: Final = 4
#: Accounts above which the receiver gives all credit back to be rid of those that are idle.
_MANY: Final = 1024

#: What is given back: target, messages, bytes.
Credit = tuple[int, int, int]


class _Sent:
    """What one service of the peer was sent and has not given back."""

    __slots__ = ("bytes", "messages", "refused")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.refused = False


class SendWindows:
    """The sender's accounts.

    Args:
        messages: window of each service in messages.
        bytes_: window of each service in bytes.
    """

    __slots__ = ("_bytes", "_messages", "_sent")

    def __init__(self, messages: int, bytes_: int) -> None:
        self._messages = messages
        self._bytes = bytes_
        self._sent: dict[int, _Sent] = {}

    def __len__(self) -> int:
        """The number of services that have an account."""
        return len(self._sent)

    def has_room(self, target: int, size: int) -> bool:
        """Tell whether a message of ``size`` bytes may go now."""
        sent = self._sent.get(target)
        return sent is None or (
            sent.messages < self._messages and (sent.bytes == 0 or sent.bytes + size <= self._bytes)
        )

    def charge(self, target: int, size: int) -> bool:
        """Charge a message and return True, or return False because it has no room."""
        sent = self._sent.get(target)
        if sent is None:
            sent = self._sent[target] = _Sent()
        elif sent.messages >= self._messages or (sent.bytes and sent.bytes + size > self._bytes):
            return False
        sent.messages += 1
        sent.bytes += size
        return True

    def refuse(self, target: int, size: int) -> bool:
        """Remember that somebody waits for room, and tell whether the peer has to be told (*want*)."""
        sent = self._sent[target]
        first, sent.refused = not sent.refused, True
        return first and size > self._bytes // 2

    def refund(self, target: int, size: int) -> bool:
        """Take a charge back because the message never arrived; as :meth:`credit` otherwise."""
        return self.credit(target, 1, size)

    def credit(self, target: int, messages: int, size: int) -> bool:
        """Take credit, and tell whether somebody waits for it.

        Raises:
            ProtocolError: if it is more than what was sent.
        """
        sent = self._sent.get(target)
        if sent is None or messages > sent.messages or size > sent.bytes:
            raise ProtocolError(f"credit for service {target} that it was never owed")
        sent.messages -= messages
        sent.bytes -= size
        waited, sent.refused = sent.refused, False
        if not sent.messages:
            if sent.bytes:
                raise ProtocolError(f"credit for service {target} for all messages, but not for all bytes")
            del self._sent[target]
        return waited


class _Received:
    """What one service of this node was sent, and how much of it was taken out of its inbox."""

    __slots__ = ("bytes", "messages", "taken_bytes", "taken_messages", "wanted")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.taken_messages = 0
        self.taken_bytes = 0
        self.wanted = False


class ReceiveWindows:
    """The receiver's accounts.

    Args:
        messages: window of each service in messages.
        bytes_: window of each service in bytes.
    """

    __slots__ = ("_batch_bytes", "_batch_messages", "_bytes", "_many", "_messages", "_received")

    def __init__(self, messages: int, bytes_: int) -> None:
        self._messages = messages
        self._bytes = bytes_
        self._batch_messages = max(1, messages // BATCHES)
        self._batch_bytes = max(1, bytes_ // BATCHES)
        self._received: dict[int, _Received] = {}
        self._many = _MANY

    def __len__(self) -> int:
        """The number of services that have an account."""
        return len(self._received)

    @property
    def crowded(self) -> bool:
        """Whether there are so many accounts that a sweep is due."""
        return len(self._received) > self._many

    def charge(self, target: int, size: int) -> bool:
        """Charge a message that came; tells whether there are so many accounts that a sweep is due.

        Raises:
            ProtocolError: if it has no room.
        """
        received = self._received.get(target)
        if received is None:
            received = self._received[target] = _Received()
            crowded = len(self._received) > self._many
        elif received.messages >= self._messages or (received.bytes and received.bytes + size > self._bytes):
            raise ProtocolError(f"the window of service {target} was overrun")
        else:
            crowded = False
        received.messages += 1
        received.bytes += size
        return crowded

    def charge_many(self, target: int, messages: int, size: int) -> bool:
        """Charge several messages that came together, each of that size; as :meth:`charge` otherwise."""
        crowded = self.charge(target, size)
        if messages > 1:
            received = self._received[target]
            received.messages += messages - 1
            received.bytes += (messages - 1) * size
            if received.messages > self._messages or received.bytes > self._bytes:
                raise ProtocolError(f"the window of service {target} was overrun")
        return crowded

    def take(self, target: int, messages: int, size: int, *, at_once: bool = False) -> Credit | None:
        """Note that messages left the inbox; return the credit that is to be given now, if any.

        Raises:
            ValueError: if it is more than what came.
        """
        received = self._received.get(target)
        if received is None:
            raise ValueError(f"service {target} has nothing that could be taken")
        taken, taken_bytes = received.taken_messages + messages, received.taken_bytes + size
        if taken > received.messages or taken_bytes > received.bytes:
            raise ValueError(f"more was taken for service {target} than had come")
        received.taken_messages, received.taken_bytes = taken, taken_bytes
        if (
            at_once
            or taken >= self._batch_messages
            or taken_bytes >= self._batch_bytes
            or (received.wanted and taken == received.messages)
        ):
            return self._give(target, received)
        return None

    def want(self, target: int) -> Credit | None:
        """Note that the sender waits for more than half a window; return credit to give now, if any."""
        received = self._received.get(target)
        if received is None:
            received = self._received[target] = _Received()
        received.wanted = True
        if received.taken_messages and received.taken_messages == received.messages:
            return self._give(target, received)
        return None

    def sweep(self) -> list[Credit]:
        """Return all credit that is left over, and forget the services of which nothing is left."""
        due = [(target, each) for target, each in self._received.items() if each.taken_messages]
        given = [self._give(target, each) for target, each in due]
        self._received = {target: each for target, each in self._received.items() if each.messages}
        self._many = max(_MANY, 2 * len(self._received))
        return given

    def _give(self, target: int, received: _Received) -> Credit:
        credit = (target, received.taken_messages, received.taken_bytes)
        received.messages -= received.taken_messages
        received.bytes -= received.taken_bytes
        received.taken_messages = received.taken_bytes = 0
        if not (received.messages or received.wanted):
            del self._received[target]
        return credit
