"""What a pump writes at once, and what it leaves to its writer: every byte once and in order (C2, C5)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.wire import seen as events
from tests.wire.link_world import accepter, agreements, dialer
from tests.wire.seen import RecordedLink, Recorder
from trionet.net.pump import WRITE_SIZE, Pump
from trionet.net.transport import Connection, Sockets
from trionet.wire.link_frames import LinkSettings

SETTINGS = LinkSettings(window_messages=1000, window_bytes=64_000_000, message_size=4_000_000)


class Wire(trio.abc.Stream):
    """The stream of the pump under test; a test decides how many bytes it takes.

    Attributes:
        written: what it took, in order.
        at_once: how many bytes the next writes take that must not wait, each one its own; then all.
        ways: how each piece was written.
        open_gate: whether ordinary writes go on.
        is_busy: whether an ordinary write is under way.
        broken: whether the other end is gone.
    """

    def __init__(self) -> None:
        self.written = bytearray()
        self.at_once: list[int] = []
        self.ways: list[str] = []
        self.gate = trio.Event()
        self.gate.set()
        self.is_busy = False
        self.broken = False
        self._send, self._receive = trio.open_memory_channel[bytes](1000)

    def write_now(self, data: bytes) -> int:
        """Take some bytes."""
        assert not self.is_busy, "the writer is busy: nobody else may write"
        if self.broken or not self.gate.is_set():
            return 0
        taken = min(self.at_once.pop(0) if self.at_once else len(data), len(data))
        self.written += data[:taken]
        self.ways.append("at once")
        return taken

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Take all bytes, half of them before a wait."""
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise trio.BrokenResourceError("the other end is gone")
        half = len(data) // 2
        self.written += data[:half]
        self.is_busy = True
        await self.gate.wait()
        self.is_busy = False
        self.written += data[half:]
        self.ways.append("by the writer")

    async def wait_send_all_might_not_block(self) -> None:
        """Not used."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What the other end says."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return b""

    def say(self, data: bytes) -> None:
        """The other end writes."""
        self._send.send_nowait(data)

    async def aclose(self) -> None:
        """The pump is over."""
        await trio.lowlevel.checkpoint()


class Scene:
    """A pump and the machine of the link at the other end."""

    def __init__(self, records: bool) -> None:
        self.wire = Wire()
        self.drained = 0
        self.gather: Callable[[], None] = lambda: None
        self.reason: str | None = None
        self.recorder = Recorder()
        own, others = agreements(dialer(records=records), accepter(records=records))
        self.other = RecordedLink(others, SETTINGS, trio.current_time())
        connection = Connection(self.wire, True, b"", "other", self.wire.write_now)
        self.pump = Pump(
            connection,
            own,
            SETTINGS,
            self.recorder.happened,
            self._note_drained,
            lambda: None,
            lambda: self.gather(),
            self.recorder,
        )

    def _note_drained(self) -> None:
        self.drained += 1

    async def run(self) -> None:
        """Run the pump, and remember why it ended."""
        self.reason = await self.pump.run()

    def send(self, *payloads: bytes) -> None:
        """Hand messages to the link."""
        for payload in payloads:
            self.pump.link.send(1, 2, "note", payload, token=payload)

    def answer(self) -> None:
        """Let the other end say what it has to say."""
        if data := self.other.data_to_send(trio.current_time()):
            self.wire.say(data)

    def arrived(self) -> list[bytes]:
        """The messages that came whole to the other end since the last time."""
        data, self.wire.written = bytes(self.wire.written), bytearray()
        self.other.receive_data(data, trio.current_time())
        found = self.other.events()
        self.goodbyes = [each for each in found if isinstance(each, events.GoodbyeReceived)]
        return [bytes(each.payload) for each in found if isinstance(each, events.SendReceived)]


@asynccontextmanager
async def open_scene(records: bool = False) -> AsyncIterator[Scene]:
    """An open link whose writer has nothing to do."""
    scene = Scene(records)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.run)
        await wait_all_tasks_blocked()
        scene.answer()
        await wait_all_tasks_blocked()
        assert scene.arrived() == []
        assert scene.pump.link.is_open
        scene.wire.ways.clear()
        yield scene
        nursery.cancel_scope.cancel()


LARGE = [b"%d" % number * 300_000 for number in range(1, 4)]


# --- at once --------------------------------------------------------------------------------------------


async def test_what_the_stream_takes_is_written_without_the_writer(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        before, drained = scene.pump.bytes_sent, scene.drained
        scene.send(b"one", b"two")
        scene.pump.write()
        size = len(scene.wire.written)
        assert scene.arrived() == [b"one", b"two"]
        assert (scene.pump.bytes_sent - before, scene.drained - drained) == (size, 1)
        await wait_all_tasks_blocked()
        assert scene.wire.ways == ["at once"]
        scene.pump.write()  # there is nothing
        assert scene.drained - drained == 1
        assert scene.wire.written == b""


@pytest.mark.parametrize("taken", [0, 1, 10, 30])
async def test_what_the_stream_does_not_take_is_written_by_the_writer(
    autojump_clock: MockClock, taken: int
) -> None:
    async with open_scene() as scene:
        before = scene.pump.bytes_sent
        scene.wire.at_once = [taken]
        scene.send(b"one", b"two")
        scene.pump.write()
        assert len(scene.wire.written) == taken
        scene.send(b"three")
        scene.pump.write()  # the writer is about to: nothing may come between
        scene.pump.kick()
        await wait_all_tasks_blocked()
        size = len(scene.wire.written)
        assert scene.arrived() == [b"one", b"two", b"three"]
        assert scene.pump.bytes_sent - before == size
        assert scene.wire.ways[0:2] == ["at once", "by the writer"]


async def test_while_the_writer_is_busy_nobody_else_writes(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.wire.gate = trio.Event()
        scene.send(b"one")
        scene.pump.kick()
        await wait_all_tasks_blocked()
        assert 0 < len(scene.wire.written)  # it is in the middle of a write
        scene.send(b"two")
        scene.pump.write()
        scene.pump.write()
        scene.wire.gate.set()
        await wait_all_tasks_blocked()
        assert scene.arrived() == [b"one", b"two"]


@pytest.mark.parametrize("at_once", [[], [0], [1000], [100_000, 0, 5]])
async def test_large_messages_beyond_one_flush(autojump_clock: MockClock, at_once: list[int]) -> None:
    async with open_scene() as scene:
        before = scene.pump.bytes_sent
        scene.wire.at_once = at_once
        scene.send(*LARGE[:1], b"small", *LARGE[1:])
        scene.pump.write()
        await wait_all_tasks_blocked()
        size = len(scene.wire.written)
        assert scene.arrived() == [LARGE[0], b"small", *LARGE[1:]]
        assert scene.pump.bytes_sent - before == size
        assert not scene.pump.link.sendable


async def test_more_than_a_write_is_left_to_the_writer(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        messages = [b"%3d" % number + b"x" * 20_000 for number in range(2 * WRITE_SIZE // 20_000)]
        scene.send(*messages)
        scene.pump.write()
        assert scene.wire.written == b""
        await wait_all_tasks_blocked()
        assert scene.arrived() == messages
        assert set(scene.wire.ways) == {"by the writer"}


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_the_stream_takes_all_arrives_in_order(autojump_clock: MockClock, seed: int) -> None:
    """Writes at once and by the writer, of messages small and large, in any order; with MACs or without."""
    random = Random(seed)
    async with open_scene(records=bool(seed % 2)) as scene:
        before, size, sent = scene.pump.bytes_sent, 0, 0
        arrived: list[bytes] = []
        scene.wire.at_once = [random.choice([0, 1, 50, 1000, 1_000_000]) for _ in range(100)]
        messages = [b"%d." % number * random.choice([1, 10, 40_000]) for number in range(60)]
        while sent < len(messages):
            count = random.randint(0, 3)
            scene.send(*messages[sent : sent + count])
            sent += count
            random.choice([scene.pump.write, scene.pump.kick])()
            if random.random() < 0.3:
                await trio.lowlevel.checkpoint()
            if random.random() < 0.2:
                await wait_all_tasks_blocked()
                size += len(scene.wire.written)
                arrived += scene.arrived()
        scene.pump.write()
        await wait_all_tasks_blocked()
        size += len(scene.wire.written)
        arrived += scene.arrived()
        assert arrived == messages
        assert scene.pump.bytes_sent - before == size


# --- with what else goes on -----------------------------------------------------------------------------


async def test_what_is_gathered_goes_along(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        waiting = [b"gathered"]
        scene.gather = lambda: scene.send(waiting.pop()) if waiting else None
        scene.send(b"first")
        scene.pump.write()
        assert scene.arrived() == [b"first", b"gathered"]
        assert scene.wire.ways == ["at once"]


async def test_the_reader_writes_what_came_of_what_it_read(autojump_clock: MockClock) -> None:
    """The acknowledgement does not wake the writer, nor does what a handler hands over."""
    async with open_scene() as scene:

        def answer(payload: bytes) -> None:
            scene.send(b"answer to " + payload)
            scene.pump.kick()

        scene.recorder.answer = answer
        scene.other.send(2, 1, "note", b"a")
        scene.other.send(2, 1, "note", b"b")
        scene.answer()
        await wait_all_tasks_blocked()
        assert scene.arrived() == [b"answer to a", b"answer to b"]
        assert scene.wire.ways == ["at once"]


# --- the end --------------------------------------------------------------------------------------------


async def test_c5_a_stream_that_broke_ends_the_link(autojump_clock: MockClock) -> None:
    """The write at once takes nothing; the ordinary write says why; what was sent has an unknown fate."""
    async with open_scene() as scene:
        scene.wire.broken = True
        scene.send(b"lost")
        scene.pump.write()
        await trio.sleep(10)
        assert scene.reason == "the connection was lost: the other end is gone"
        assert scene.pump.fates is not None
        assert scene.pump.fates.unknown == (b"lost",)
        scene.pump.write()  # harmless
        scene.pump.kick()


async def test_c5_a_stream_that_breaks_after_some_bytes(autojump_clock: MockClock) -> None:
    async with open_scene() as scene:
        scene.wire.at_once = [10]
        scene.send(b"lost")
        scene.pump.write()
        scene.wire.broken = True
        await trio.sleep(10)
        assert scene.reason == "the connection was lost: the other end is gone"
        assert scene.pump.fates is not None
        assert scene.pump.fates.unknown == (b"lost",)


@pytest.mark.parametrize("taken", [[], [0], [20]])
async def test_c13_the_last_goodbye_comes_last(autojump_clock: MockClock, taken: list[int]) -> None:
    """Also behind what a write at once left over, and nothing comes after it."""
    async with open_scene() as scene:
        scene.wire.at_once = taken
        scene.send(b"one", *LARGE[:1])
        scene.pump.write()
        assert scene.pump.end_when_sent("enough")
        scene.pump.write()
        await wait_all_tasks_blocked()
        assert scene.arrived() == [b"one", LARGE[0]]
        assert [(each.reason, each.final) for each in scene.goodbyes] == [("enough", True)]
        assert not scene.pump.end_when_sent("again")
        scene.pump.write()
        await trio.sleep(10)
        assert scene.reason == "enough"
        assert scene.wire.written == b""


async def test_c14_a_peer_that_reads_nothing_costs_its_link(autojump_clock: MockClock) -> None:
    """What a write at once left over stands under the same limit as any write."""
    async with open_scene() as scene:
        scene.pump._patience = 5.0
        scene.wire.at_once = [3]
        scene.send(b"one")
        scene.pump.write()
        scene.wire.gate = trio.Event()
        await trio.sleep(4.9)
        assert scene.reason is None
        await trio.sleep(0.2)
        assert scene.reason == "the peer read nothing for 5 seconds"


# --- a real socket --------------------------------------------------------------------------------------


async def real_pair(address: str = "127.0.0.1:0") -> tuple[Connection, Connection]:
    """Two ends of a connection of the system; who asks for them closes them."""
    sockets = Sockets()
    listener = await sockets.listen(address)
    near = await sockets.connect(listener.address)
    far = await listener.accept()
    await listener.aclose()
    return near, far


async def test_a_real_socket_takes_what_it_has_room_for() -> None:
    with trio.fail_after(10):
        near, far = await real_pair()
        async with near.stream, far.stream:
            data = os.urandom(WRITE_SIZE)
            taken = 0
            while count := near.write_now(data[taken % len(data) :]):
                taken += count
            assert taken > 0  # and now there is no room
            got = bytearray()
            while len(got) < taken:
                got += await far.stream.receive_some(65_536)
            expected = data * (taken // len(data) + 1)
            assert got == expected[:taken]
        assert near.write_now(b"closed") == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_a_real_socket_gives_what_came_and_tells_its_end(kind: str, tmp_path: Path) -> None:
    with trio.fail_after(20):
        near, far = await real_pair("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path / 'socket'}")
        with trio.move_on_after(0) as scope:
            await near.receive(10)
        assert scope.cancelled_caught
        await far.stream.send_all(b"0123456789abc")
        assert await near.receive(10) == b"0123456789"
        assert await near.receive(10) == b"abc"
        await far.stream.aclose()
        assert await near.receive(10) == b""
        await near.stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await near.receive(10)


async def test_a_real_socket_whose_other_end_was_reset_is_broken() -> None:
    with trio.fail_after(20):
        near, far = await real_pair()
        assert isinstance(far.stream, trio.SocketStream)
        far.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await far.stream.aclose()
        with pytest.raises(trio.BrokenResourceError, match="reading failed"):
            await near.receive(10)
        await near.stream.aclose()


async def test_a_real_socket_that_is_closed_while_somebody_reads() -> None:
    with trio.fail_after(20):
        near, far = await real_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.stream.aclose)
            with pytest.raises(trio.ClosedResourceError):
                await near.receive(10)
        await far.stream.aclose()
