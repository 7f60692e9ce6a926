"""Random lives of a link that has streams as well, checked against what each side handed over and saw.

Items come in order, before the end of their stream, among the other messages of their pair; never more of
them than the consumer has room for; and a producer that keeps its own account never breaks the consumer's.
"""

from __future__ import annotations

from collections import defaultdict

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.wire import seen as events
from tests.wire.test_link_model import LinkLife, Side, index, services, sides
from trionet.wire.chunks import Pair
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge, WindowFull
from trionet.wire.link_frames import CHUNK
from trionet.wire.link_streams import MAX_BATCH_BYTES, Inflow, Outflow

item_sizes = st.sampled_from([1, 5, 100, CHUNK // 2, CHUNK - 4, CHUNK, 2 * CHUNK])
step_kinds = st.sampled_from(["yield", "carry", "take", "credit"])


class Buffer:
    """What the model knows of a stream at its consumer."""

    def __init__(self, items: int, size: int) -> None:
        self.items = items
        self.size = size
        self.frames: list[tuple[int, int]] = []  # items and bytes of what has come and was not taken
        self.has_begun = False


class StreamLife(LinkLife):
    """Two services on each side talk over one link, and give each other items."""

    call = watch = unwatch = exit = None  # type: ignore[assignment]  # no rules here: more room for streams

    def __init__(self) -> None:
        super().__init__()
        self.outflows: dict[Side, dict[int, Outflow]] = defaultdict(dict)
        self.told: dict[Side, set[int]] = defaultdict(set)
        self.buffers: dict[Side, dict[int, Buffer]] = defaultdict(dict)
        self.session_of: dict[int, int] = {}

    # --- what a side hands over

    @rule(
        side=sides,
        source=services,
        to=services,
        size=st.sampled_from([0, 0, 0, 2 * CHUNK]),
        items=st.integers(1, 4),
        room=st.sampled_from([1, 100, CHUNK, 3 * CHUNK]),
    )
    def open_stream(self, side: int, source: int, to: int, size: int, items: int, room: int) -> None:
        me, number = self.sides[side], self.number()
        payload = number.to_bytes(4) + bytes(size)
        try:
            session = me.link.stream(source, to, "s", payload, items=items, size=room, token=number)
        except LinkNotOpen:
            assert not me.is_open
        except WindowFull:
            me.waiting.add(to)
        except (LinkBusy, MessageTooLarge):
            pass
        else:
            me.calls[session] = number
            me.expected[source, to].append(("message", number))
            self.buffers[me][session] = Buffer(items, room)

    @rule()
    def carry_all(self) -> None:
        """What is on its way arrives."""
        for side in (0, 1, 0, 1):
            self.carry(side, 1)

    def producing(self, me: Side, index: int) -> int | None:
        """One of the streams that a side serves."""
        served = sorted(self.outflows[me].keys() & me.serving.keys())
        return served[index % len(served)] if served else None

    @rule(side=sides, index=index)
    def begin_stream(self, side: int, index: int) -> None:
        me = self.sides[side]
        session = self.producing(me, index)
        if session is not None and session not in self.told[me]:
            self.told[me].add(session)
            me.link.begun(session)
            me.expected[me.serving[session]].append(("begun", session))

    @rule(side=sides, index=index, sizes=st.lists(item_sizes, min_size=1, max_size=6))
    def give_items(self, side: int, index: int, sizes: list[int]) -> None:
        me = self.sides[side]
        session = self.producing(me, index)
        if session is None:
            return
        outflow = self.outflows[me][session]
        batch: list[int] = []
        for size in sizes:
            if outflow.has_room():
                outflow.charge(size)
                if batch and sum(batch) + size > MAX_BATCH_BYTES:
                    self.give(me, session, batch)
                    batch = []
                batch.append(size)
        if batch:
            self.give(me, session, batch)

    def give(self, me: Side, session: int, batch: list[int]) -> None:
        number = self.number()
        me.link.items(session, len(batch), bytes(sum(batch)))
        me.expected[me.serving[session]].append(("items", number))
        self.session_of[number] = session
        self.told[me].add(session)

    @rule(side=sides, index=index, count=st.integers(1, 3))
    def take_items(self, side: int, index: int, count: int) -> None:
        me = self.sides[side]
        full = sorted(session for session, buffer in self.buffers[me].items() if buffer.frames)
        if full:
            session = full[index % len(full)]
            taken, buffer = self.buffers[me][session].frames[:count], self.buffers[me][session]
            del buffer.frames[:count]
            me.link.taken(session, sum(each[0] for each in taken), sum(each[1] for each in taken))

    # --- what a side sees

    def happened_besides(self, me: Side, event: events.Seen) -> None:
        match event:
            case events.StreamReceived(session, route, _, payload, outflow):
                self.arrived(me, route.source, route.target, payload)
                me.serving[session] = (route.target, route.source)
                self.outflows[me][session] = outflow
                self.told[me].discard(session)
            case events.StreamBegun(session, token):
                assert me.calls[session] == token
                self.came(me, None, "begun", session)
                self.begun(me, session)
            case events.ItemsReceived(session, token, items, payload):
                assert me.calls[session] == token
                assert session not in me.abandoned
                self.came_items(me, session)
                self.begun(me, session, again=True)
                buffer = self.buffers[me][session]
                assert sum(each[1] for each in buffer.frames) < buffer.size
                buffer.frames.append((items, len(payload)))
                assert sum(each[0] for each in buffer.frames) <= buffer.items
            case events.ItemsTaken(session):
                assert session in self.outflows[me]
            case _:
                super().happened_besides(me, event)

    def begun(self, me: Side, session: int, *, again: bool = False) -> None:
        buffer = self.buffers[me][session]
        assert again or not buffer.has_begun
        buffer.has_begun = True

    def came_items(self, me: Side, session: int) -> None:
        """They are the next of their stream: nothing of its pair is before them."""
        self.forget_abandoned(me)
        for expected in me.other.expected.values():
            if expected and expected[0][0] == "items" and self.session_of[expected[0][1]] == session:
                return self.came(me, None, *expected[0])
        raise AssertionError(f"items of session {session} came out of their order")

    def came(self, me: Side, pair: Pair | None, kind: str, number: int) -> None:
        self.forget_abandoned(me)
        super().came(me, pair, kind, number)

    def forget_abandoned(self, me: Side) -> None:
        """What comes of a stream that its consumer has abandoned is not told."""
        for expected in me.other.expected.values():
            while expected:
                kind, number = expected[0]
                session = self.session_of[number] if kind == "items" else number
                if kind not in ("items", "begun") or session not in me.abandoned:
                    break
                expected.popleft()

    def end(self, me: Side, session: int, how: str) -> None:
        super().end(me, session, how)
        self.buffers[me].pop(session, None)


StreamLife.TestCase.settings = settings(max_examples=100, stateful_step_count=80, phases=[Phase.generate])
TestStreamLife = StreamLife.TestCase


@given(
    items=st.integers(1, 6),
    size=st.integers(1, 300),
    steps=st.lists(st.tuples(step_kinds, st.integers(1, 120)), max_size=120),
)
def test_accounts_agree_whatever_is_on_its_way(items: int, size: int, steps: list[tuple[str, int]]) -> None:
    """And a producer without room gets some, once the buffer was emptied and half a buffer was given back."""
    outflow, inflow = Outflow(items, size), Inflow(items, size)
    wire: list[int] = []
    buffer: list[int] = []
    given_back: list[tuple[int, int]] = []
    taken: list[int] = []

    def carry() -> None:
        if wire:
            inflow.charge(1, wire[0])
            buffer.append(wire.pop(0))

    def take() -> None:
        if buffer:
            taken.append(buffer.pop(0))
            if len(taken) >= max(1, items // 2) or sum(taken) >= max(1, size // 2):
                inflow.give(len(taken), sum(taken))
                given_back.append((len(taken), sum(taken)))
                taken.clear()

    def credit() -> None:
        if given_back:
            outflow.credit(*given_back.pop(0))

    for step, amount in steps:
        if step == "yield" and outflow.has_room():
            outflow.charge(amount)
            wire.append(amount)
        elif step != "yield":
            {"carry": carry, "take": take, "credit": credit}[step]()
        assert inflow.items <= outflow.items
        assert inflow.bytes <= outflow.bytes
    while wire or buffer or given_back:
        carry()
        take()
        credit()
    assert outflow.has_room()
    assert (outflow.items, outflow.bytes) == (inflow.items, inflow.bytes) == (len(taken), sum(taken))
