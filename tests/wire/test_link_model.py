"""Random lives of a link, checked against what each side handed over and saw.

Order per pair, at most once, windows kept, every session with one end, and fates that are true: what a link
calls unsent was never seen by the other side.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.wire import seen as events
from tests.wire.link_world import opening
from tests.wire.seen import RecordedLink
from trionet.wire.bundle import SMALL
from trionet.wire.chunks import Pair
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge, WindowFull
from trionet.wire.link_frames import CHUNK, LinkSettings

WINDOW = 3
WINDOW_BYTES = 3 * CHUNK
LIMITS = LinkSettings(
    window_messages=WINDOW,
    window_bytes=WINDOW_BYTES,
    message_size=4 * CHUNK,
    slots=2,
    slot_bytes=6 * CHUNK,
    sessions=4,
    watches=2,
)

sides = st.sampled_from([0, 1])
services = st.integers(1, 2)
sizes = st.sampled_from(
    [0, 1, 100, CHUNK - 4, CHUNK - 3, CHUNK, 2 * CHUNK, 2 * CHUNK, 4 * CHUNK - 4, 4 * CHUNK]
)
index = st.integers(0, 10)


class Side:
    """One end of the link and what the model knows of it."""

    def __init__(self, link: RecordedLink) -> None:
        self.link = link
        self.other: Side
        self.is_open = False
        self.wire = bytearray()  # what this side sent and the other has not read
        self.expected: dict[Pair, deque[Any]] = defaultdict(deque)  # what the other has to see, in order
        self.seen: set[int] = set()
        self.sent: set[int] = set()
        self.calls: dict[int, int] = {}  # session -> number
        self.cancelled: set[int] = set()
        self.abandoned: set[int] = set()
        self.ended: dict[int, str] = {}  # number -> how
        self.watches: set[int] = set()
        self.inbox: deque[tuple[int, int]] = deque()  # target and size
        self.serving: dict[int, Pair] = {}
        self.cancels: set[int] = set()
        self.watched: dict[int, Pair] = {}
        self.waiting: set[int] = set()  # targets that had no room


class LinkLife(RuleBasedStateMachine):
    """Two services on each side talk over one link."""

    @initialize(records=st.booleans(), peaceful=st.booleans())
    def begin(self, records: bool, peaceful: bool) -> None:
        self.peaceful = peaceful
        one, other = (Side(link) for link in opening(records=records, settings=LIMITS))
        one.other, other.other = other, one
        self.sides = (one, other)
        self.numbers = 0
        self.now = 0.0
        for side in (0, 1, 0):
            self.carry(side, 1)

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    # --- what a side hands over

    @rule(side=sides, source=services, to=services, size=sizes)
    def send(self, side: int, source: int, to: int, size: int) -> None:
        me, number = self.sides[side], self.number()
        fits = size + 4 <= LIMITS.message_size
        room = me.is_open and fits and me.link.can_send(to, size + 4)
        try:
            me.link.send(source, to, "s", number.to_bytes(4) + bytes(size), token=number)
        except LinkNotOpen:
            assert not me.is_open
        except WindowFull:
            assert not room
            me.waiting.add(to)
        except MessageTooLarge:
            assert not fits
        else:
            assert room
            me.sent.add(number)
            me.expected[source, to].append(("message", number))

    @rule(side=sides, source=services, to=services, size=sizes)
    def call(self, side: int, source: int, to: int, size: int) -> None:
        me, number = self.sides[side], self.number()
        try:
            session = me.link.call(source, to, "c", number.to_bytes(4) + bytes(size), token=number)
        except LinkNotOpen:
            assert not me.is_open
        except WindowFull:
            me.waiting.add(to)
        except LinkBusy:
            assert len(me.calls) == LIMITS.sessions
        except MessageTooLarge:
            assert size + 4 > LIMITS.message_size
        else:
            assert session not in me.calls
            me.calls[session] = number
            me.expected[source, to].append(("message", number))

    @rule(side=sides, source=services, to=services)
    def send_small(self, side: int, source: int, to: int) -> None:
        me, number = self.sides[side], self.number()
        if me.link.send_small(source, to, "s", (number, None), trace=number % 2, token=number):
            assert me.is_open
            me.sent.add(number)
            me.expected[source, to].append(("message", number))
        else:
            self.has_no_room(me, to)

    @rule(side=sides, source=services, to=services)
    def call_small(self, side: int, source: int, to: int) -> None:
        me, number = self.sides[side], self.number()
        session = me.link.call_small(source, to, "c", (number,), remaining=1.0, trace=0, token=number)
        if session:
            assert session not in me.calls
            assert len(me.calls) < LIMITS.sessions
            me.calls[session] = number
            me.expected[source, to].append(("message", number))
        elif len(me.calls) < LIMITS.sessions:
            self.has_no_room(me, to)

    def has_no_room(self, me: Side, to: int) -> None:
        """There is a reason why a small message does not go into a bundle."""
        if me.is_open and not me.link.statistics().lanes:
            assert not me.link.can_send(to, SMALL)
            me.waiting.add(to)

    @rule(side=sides, index=index)
    def cancel(self, side: int, index: int) -> None:
        me = self.sides[side]
        if me.calls:
            session = sorted(me.calls)[index % len(me.calls)]
            number = me.calls[session]
            if me.link.cancel(session):
                me.cancelled.add(session)
                return
            for event in me.link.events():
                self.happened(me, event)
            assert number not in me.other.seen
            self.end(me, session, "taken back")
            for expected in me.expected.values():
                if ("message", number) in expected:
                    expected.remove(("message", number))

    @rule(side=sides, index=index)
    def abandon(self, side: int, index: int) -> None:
        me = self.sides[side]
        if me.cancelled:
            session = sorted(me.cancelled)[index % len(me.cancelled)]
            me.link.abandon(session)
            me.abandoned.add(session)

    @rule(side=sides, index=index, how=st.sampled_from(["reply", "return", "fail"]), size=sizes)
    def answer(self, side: int, index: int, how: str, size: int) -> None:
        me = self.sides[side]
        if not me.serving:
            return
        session = sorted(me.serving)[index % len(me.serving)]
        pair = me.serving.pop(session)
        me.expected[pair].append(("answer", session))
        if session in me.cancels and how == "fail":
            me.link.confirm_cancel(session)
        elif how == "return" and me.link.return_small(session, "ok"):
            pass
        elif how != "fail":
            me.link.reply(session, bytes(size))
        else:
            me.link.fail(session, 7, None, bytes(size))

    @rule(side=sides, source=services, to=services)
    def watch(self, side: int, source: int, to: int) -> None:
        me = self.sides[side]
        try:
            watch = me.link.watch(source, to, token="watch")
        except LinkNotOpen:
            assert not me.is_open
        except LinkBusy:
            return
        else:
            me.watches.add(watch)

    @rule(side=sides, index=index)
    def unwatch(self, side: int, index: int) -> None:
        me = self.sides[side]
        if me.watches:
            watch = sorted(me.watches)[index % len(me.watches)]
            me.watches.discard(watch)
            me.link.unwatch(watch)

    @rule(side=sides, index=index, size=sizes)
    def exit(self, side: int, index: int, size: int) -> None:
        me = self.sides[side]
        if me.watched:
            watch = sorted(me.watched)[index % len(me.watched)]
            pair = me.watched.pop(watch)
            me.link.exited(watch, bytes(size))
            me.expected[pair].append(("exit", watch))

    @rule(side=sides, count=st.integers(1, 3))
    def consume(self, side: int, count: int) -> None:
        me = self.sides[side]
        for _ in range(min(count, len(me.inbox))):
            target, size = me.inbox.popleft()
            me.link.consumed(target, 1, size)

    # --- time and bytes

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        for side in self.sides:
            side.link.tick(self.now)

    @rule(side=sides, share=st.sampled_from([1, 1, 2, 3, 50]))
    def carry(self, side: int, share: int) -> None:
        """One flush; the other side reads all, or a part, of what is on its way."""
        me = self.sides[side]
        me.wire += me.link.data_to_send(self.now)
        size = -(-len(me.wire) // share)
        data = bytes(me.wire[:size])
        del me.wire[:size]
        me.other.link.receive_data(data, self.now)
        for event in me.other.link.events():
            self.happened(me.other, event)

    # --- what a side sees

    def happened(self, me: Side, event: events.Seen) -> None:
        match event:
            case events.Opened():
                me.is_open = True
            case events.CallReceived(session, source, target, _, _, _, payload):
                self.arrived(me, source, target, payload)
                me.serving[session] = (target, source)
            case events.SendReceived(source, target, _, _, payload):
                self.arrived(me, source, target, payload)
            case (
                events.ReplyReceived(session, token)
                | events.ReturnReceived(session, token)
                | events.FailureReceived(session, token)
            ):
                assert session not in me.abandoned
                assert me.calls[session] == token
                self.answered(me, session)
            case events.CancelConfirmed(session, token):
                assert session in me.cancelled
                assert me.calls[session] == token
                self.answered(me, session)
            case events.AbandonedEnded(session):
                assert session in me.abandoned
                self.answered(me, session)
            case events.CancelReceived(session):
                me.cancels.add(session)
                assert session in me.serving
            case _:
                self.happened_besides(me, event)

    def happened_besides(self, me: Side, event: events.Seen) -> None:
        match event:
            case events.WatchReceived(watch, source, target):
                me.watched[watch] = (target, source)
            case events.UnwatchReceived(watch):
                del me.watched[watch]
            case events.ExitReceived(watch, token):
                assert token == "watch"
                self.came(me, None, "exit", watch)
                me.watches.remove(watch)
            case events.CreditAvailable(target):
                me.waiting.remove(target)
            case events.PeerSilent():
                pass
            case _:
                raise AssertionError(event)

    def arrived(self, me: Side, source: int, target: int, payload: bytes | tuple[int, ...]) -> None:
        is_small = isinstance(payload, tuple)
        number = payload[0] if isinstance(payload, tuple) else int.from_bytes(payload[:4])
        self.came(me, (source, target), "message", number)
        assert number not in me.seen
        me.seen.add(number)
        me.inbox.append((target, SMALL if is_small else len(payload)))
        inside = [size for to, size in me.inbox if to == target]
        assert len(inside) <= WINDOW
        assert sum(inside) <= WINDOW_BYTES or len(inside) == 1

    def answered(self, me: Side, session: int) -> None:
        self.came(me, None, "answer", session)
        self.end(me, session, "answered")
        me.abandoned.discard(session)

    def came(self, me: Side, pair: Pair | None, kind: str, number: int) -> None:
        """Something comes in its place among the messages of its pair."""
        for each, expected in me.other.expected.items():
            while expected and expected[0][0] == "exit" and expected[0][1] not in me.watches:
                if expected[0] == (kind, number):
                    break
                expected.popleft()  # the watcher had left
            if pair in (None, each) and expected and expected[0] == (kind, number):
                expected.popleft()
                return
        raise AssertionError(f"{kind} {number} came out of its order")

    def end(self, me: Side, session: int, how: str) -> None:
        number = me.calls.pop(session)
        assert number not in me.ended
        me.ended[number] = how
        me.cancelled.discard(session)

    # --- the end

    def teardown(self) -> None:
        if hasattr(self, "sides"):
            if self.peaceful:
                self.settle()
            fates = [side.link.close("the end") for side in self.sides]
            for side, fate in zip(self.sides, fates, strict=True):
                self.check(side, fate)
                assert side.link.close("again") == events.LinkFates((), (), (), (), (), (), ())

    def settle(self) -> None:
        """Everything is answered, taken and read; then nothing may be left."""
        for turn in range(60):
            self.tick(1.0)
            for side in (0, 1):
                self.consume(side, 100)
                for _ in range(len(self.sides[side].serving)):
                    self.answer(side, turn, "reply", 1)
                for _ in range(len(self.sides[side].watched)):
                    self.exit(side, turn, 1)
                self.carry(side, 1)
        for me in self.sides:
            assert me.link.can_send(1, WINDOW_BYTES)
            assert me.link.can_send(2, WINDOW_BYTES)
            assert [*me.calls, *me.watches, *me.waiting, *me.wire, *me.abandoned] == []
            assert all(each[0] == "exit" for expected in me.expected.values() for each in expected)
            assert me.sent <= me.other.seen
            statistics = me.link.statistics()
            assert statistics.unacknowledged == 0
            left = (statistics.pending_bytes, statistics.calls, statistics.serving, statistics.watches)
            assert (*left, statistics.watched, statistics.lanes) == (0,) * 6

    def check(self, me: Side, fate: events.LinkFates) -> None:
        assert not set(fate.unsent) & me.other.seen
        assert not set(fate.unsent) & set(fate.unknown)
        settled = me.sent - set(fate.unsent) - set(fate.unknown)
        assert settled <= me.other.seen
        calls = dict(fate.calls)
        for session, number in me.calls.items():
            if session in me.abandoned:
                assert number in fate.abandoned
            else:
                executed = calls.pop(number)
                assert executed is None or (executed is False and number not in me.other.seen)
        assert not calls
        assert len(fate.watches) == len(me.watches)
        assert set(fate.serving) == set(me.serving)
        assert set(fate.watched) == set(me.watched)


LinkLife.TestCase.settings = settings(max_examples=100, stateful_step_count=80, phases=[Phase.generate])
TestLinkLife = LinkLife.TestCase
