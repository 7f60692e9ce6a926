"""What a node says that has the secret, and lies: at most it costs that node its link (C14)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.kernel.lives import Quiet
from trionet import ClusterConfig, Handle, MasterUnreachable, NodeDown, Service, command, value
from trionet.net import desk
from trionet.net.desk import NODE_ID, STOP, UNDELIVERED
from trionet.net.failures import DECLARED, MAX_TEXT
from trionet.net.greeting import agreed, greet
from trionet.net.harbor import Harbor
from trionet.net.peer import Peer
from trionet.testing import SimulatedCluster, open_cluster
from trionet.testing.network import SimulatedNetwork
from trionet.wire import link_frames as frames
from trionet.wire.agreement import LinkIdentity
from trionet.wire.bundle import CALL_ENTRY, ROUTE_ENTRY
from trionet.wire.handshake import Accepter, Dialer
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.link_frames import LinkSettings
from trionet.wire.plain import AtomCodec
from trionet.wire.records import RecordSealer

pytestmark = pytest.mark.usefixtures("virtual_time")

NOTHING = b"\x82\x80\xa0"


class Nap(Service):
    """Answers later, in a task of its own."""

    @command
    async def nap(self, seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds


class Asker(Service):
    """Waits for a service of another node."""

    @command
    async def ask(self, whom: Handle) -> object:
        return await self.node.call(whom, "nap", 100.0)


@value(name="tests.sim.Refusal")
class Refusal(Exception):
    """A declared exception."""


def harbor_of(cluster: SimulatedCluster, number: int) -> Harbor:
    """The network of a node."""
    harbor = cluster[number].network
    assert isinstance(harbor, Harbor)
    return harbor


def peer_of(cluster: SimulatedCluster, number: int, other: int) -> Peer:
    """One node's side of its link to another."""
    peer = harbor_of(cluster, number)._links.peer(other)
    assert peer is not None
    return peer


def bundle(*items: Any) -> bytes:
    """A bundle, whatever is in it."""
    payload = AtomCodec().encode(list(items))
    return frames.bare(frames.BUNDLE, len(payload)) + payload


@asynccontextmanager
async def lied_to() -> AsyncIterator[SimulatedCluster]:
    """A cluster, node 3 of which lies in the block; at its end node 1 is as well as before."""
    async with open_cluster(3) as cluster:
        await cluster[1].start(Quiet, name="quiet1")
        await cluster[2].wait_for_name("quiet1")
        link = peer_of(cluster, 1, 2)
        yield cluster
        await trio.sleep(1)
        assert await cluster[2].call("quiet1", "answer") == 42
        assert peer_of(cluster, 1, 2) is link


@pytest.mark.parametrize("session", [-1, -(1 << 64), 1.0, "1", None, True])
async def test_c14_the_number_of_a_session_is_none(session: object, caplog: pytest.LogCaptureFixture) -> None:
    """It would be found out by the handler that answers, long after the frame was read."""
    caplog.set_level("INFO")
    async with lied_to() as cluster:
        await cluster[1].start(Nap)
        local = cluster[1].services()[-1].local
        liar = peer_of(cluster, 3, 1)
        route = (ROUTE_ENTRY, 0, 1, local, "nap")
        liar.link.outbox.control(bundle(*route, CALL_ENTRY, 0, 5, session, 60.0, 1, 0.5))
        liar.kick()
        await trio.sleep(0.1)
        assert not liar.is_open
        assert "a call in a bundle with a field out of range" in caplog.text
        await cluster[3].cluster.wait_connected(1)


@pytest.mark.parametrize(
    "arguments",
    [
        [1 << 30, Handle.make(1, 1, 5), "x", "y"],
        [-1, Handle.make(1, 1, 5), "x", "y"],
        [1, 7, "x", "y"],
        [1, Handle.make(1, 1, 5), ["x"], "y"],
        [1, Handle.make(1, 1, 5), "x", None],
        [1, Handle.make(1, 1, 5), "x"],
    ],
)
async def test_c14_a_report_of_an_undelivered_message_is_none(arguments: list[Any]) -> None:
    async with lied_to() as cluster:
        liar = peer_of(cluster, 3, 1)
        liar.link.send(0, NODE_ID, UNDELIVERED, liar.codec.encode([arguments, {}]))
        liar.kick()
        await trio.sleep(1)
        assert cluster[1].statistics().dead_letters == 0
        assert liar.is_open


async def test_c14_the_reason_of_a_report_may_be_as_long_as_it_likes() -> None:
    async with lied_to() as cluster, cluster[1].dead_letters.subscribe() as letters:
        liar = peer_of(cluster, 3, 1)
        arguments = [1, Handle.make(3, 1, 5), "x", "y" * 300_000]
        liar.link.send(0, NODE_ID, UNDELIVERED, liar.codec.encode([arguments, {}]))
        liar.kick()
        letter = await letters.receive()
        assert letter.reason == "y" * MAX_TEXT


async def test_c14_the_node_itself_is_watched_or_asked_for_a_stream() -> None:
    """It is no service: the watch ends at once, the stream fails."""
    async with lied_to() as cluster:
        liar = peer_of(cluster, 3, 1)
        ends: list[object] = []

        class Opener:
            def fail(self, error: Exception, checks: object) -> None:
                ends.append(type(error).__name__)

        liar.link.watch(0, NODE_ID, token=(Handle(0x01000000, 5), lambda end: ends.append(end.reason)))
        liar.link.stream(0, NODE_ID, "items", NOTHING, items=1, size=1, token=Opener())
        liar.kick()
        await trio.sleep(1)
        assert sorted(map(str, ends)) == ["NoSuchService", "gone"]


ANSWERS: dict[str, Callable[[Peer, int], None]] = {
    "lines that are a number": lambda peer, session: peer.answer(session, [5, True]),
    "lines that are no texts": lambda peer, session: peer.answer(session, [[{"a": 1}], True]),
    "a number": lambda peer, session: peer.answer(session, 7),
    "three things": lambda peer, session: peer.answer(session, [[], True, 7]),
    "lines without end": lambda peer, session: peer.answer(session, [["x" * 1_000_000] * 2, True]),
    "more lines than there can be": lambda peer, session: peer.answer(session, [["x"] * 100_000, True]),
    "a declared exception": lambda peer, session: peer.fail(
        session, DECLARED, True, peer.codec.encode(Refusal("no"))
    ),
}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_c14_what_a_call_waits_for_is_told_wrongly(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with lied_to() as cluster, trio.open_nursery() as nursery:
        liar = peer_of(cluster, 3, 1)
        liar._desk.asked = lambda session, *_: ANSWERS[kind](liar, session)  # type: ignore[method-assign]
        asker = cluster[1].ref(await cluster[1].start(Asker), Asker)
        await cluster[3].start(Nap)
        nursery.start_soon(asker.ask, cluster[3].services()[-1])
        await trio.sleep(50)
        assert all(len(line) < 30_000 for line in caplog.text.splitlines())
        nursery.cancel_scope.cancel()


async def test_c14_to_stop_a_service_there_is_answered_by_an_exception_of_its_own() -> None:
    """Who asked for it is told by an error that the caller knows."""
    async with lied_to() as cluster:
        liar = peer_of(cluster, 3, 1)
        await cluster[3].start(Nap)
        handle = cluster[3].services()[-1]
        liar._desk.asked = lambda session, *_: ANSWERS["a declared exception"](liar, session)  # type: ignore[method-assign]
        with pytest.raises(Exception, match="answered 'stop' with an error that no node raises: Refusal"):
            await cluster[1].stop(handle)


async def test_c14_asks_more_than_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asked, and no longer waits for, is still under way; there is an end to that."""
    monkeypatch.setattr(desk, "MOST_ANSWERS", 3)

    class Stubborn(Service):
        async def teardown(self) -> None:
            await trio.sleep(1)

    async with lied_to() as cluster:
        await cluster[1].start(Stubborn)
        handle = cluster[1].services()[-1]
        liar = peer_of(cluster, 3, 1)
        ends: list[str] = []

        class Asked:
            def cancel_confirmed(self) -> None:
                ends.append("cancelled")

            def fail(self, error: Exception, checks: object) -> None:
                ends.append(type(error).__name__)

            def succeed(self, value: object, checks: object) -> None:
                ends.append("stopped")

        for _ in range(4):
            session = liar.link.call(0, NODE_ID, STOP, liar.codec.encode([[handle], {}]), token=Asked())
            liar.kick()
            await trio.sleep(0.05)
            if session in liar.link.calls:
                liar.link.cancel(session)
        liar.kick()
        await trio.sleep(0.05)
        assert sorted(ends) == ["ServiceBusy", "cancelled", "cancelled", "cancelled"]
        await trio.sleep(2)
        liar.link.call(0, NODE_ID, STOP, liar.codec.encode([[handle], {}]), token=Asked())
        liar.kick()
        await trio.sleep(0.05)
        assert ends[-1] == "stopped"


async def old_acquaintance(
    cluster: SimulatedCluster, purpose: Purpose, settings: LinkSettings
) -> Callable[[], Awaitable[bytes]]:
    """Do the handshake with node 2, or the master, as node 3 in its present incarnation; open later."""
    network = cluster._network
    assert isinstance(network, SimulatedNetwork)
    master = purpose is Purpose.MASTER
    connection = await network.host("elsewhere").connect("node1:2013" if master else "node2:2526")
    identity = LinkIdentity(
        cluster="trionet",
        harbor=3,
        incarnation=cluster[3].incarnation,
        secrets=cluster._secrets,
        records=False,
    )
    wanted = (0, 0) if master else (2, cluster[2].incarnation)
    handshake = Dialer(identity, bytes(NONCE_SIZE), purpose, *wanted)
    await greet(connection, handshake)
    key = (await agreed(connection, handshake)).send_key
    assert key is not None

    async def go_on() -> bytes:
        """Say ``open``, and read whatever comes until the other end hangs up."""
        await connection.stream.send_all(RecordSealer(key).seal(settings.encode()))
        said = b""
        with trio.fail_after(1):
            while data := await connection.stream.receive_some():
                said += data
        return said

    return go_on


async def test_c12_a_link_that_was_held_up_does_not_take_the_place_of_a_newer_incarnation() -> None:
    """Its handshake ended before the news came that its node is another one by now, it opens after that."""
    async with open_cluster(3) as cluster:
        go_on = await old_acquaintance(cluster, Purpose.PEER, LinkSettings())
        await cluster.crash(3)
        await cluster.restart(3)
        await cluster[3].start(Quiet, name="quiet3")
        await cluster[2].wait_for_name("quiet3")
        await cluster[2].cluster.wait_connected(3)
        newer = peer_of(cluster, 2, 3)
        await go_on()
        assert peer_of(cluster, 2, 3) is newer
        assert newer.is_open
        assert await cluster[2].call("quiet3", "answer") == 42


async def test_a_master_that_hangs_up_is_not_tried_without_end() -> None:
    """It takes the handshake, and nothing else: the pauses grow as they do at any failure."""
    async with open_cluster(2, settings=ClusterConfig(join_timeout=60.0)) as cluster:
        network = cluster._network
        assert isinstance(network, SimulatedNetwork)
        listener = await network.host("elsewhere").listen("elsewhere:2013")
        came: list[float] = []

        async def hang_up() -> None:
            while True:
                connection = await listener.accept()
                came.append(trio.current_time())
                identity = LinkIdentity(
                    cluster="trionet", harbor=0, incarnation=7, secrets=cluster._secrets, records=False
                )
                handshake = Accepter(identity, bytes([len(came)]) * NONCE_SIZE, [Purpose.MASTER])
                await greet(connection, handshake)
                await agreed(connection, handshake)
                await connection.stream.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            cluster.launch(3, master="elsewhere:2013")
            assert isinstance(await cluster.wait_ended(3), MasterUnreachable)
            nursery.cancel_scope.cancel()
        await listener.aclose()
        assert 5 < len(came) < 40


@pytest.mark.parametrize("purpose", [Purpose.PEER, Purpose.MASTER])
async def test_c14_a_peer_that_takes_next_to_nothing(purpose: Purpose) -> None:
    """Each end must take what the other may have to say: an error, an item, the tables."""
    async with open_cluster(3) as cluster:
        link = peer_of(cluster, 2, 3)
        go_on = await old_acquaintance(cluster, purpose, LinkSettings(message_size=10))
        await go_on()
        assert peer_of(cluster, 2, 3) is link
        assert link.is_open


async def test_c4_credit_that_comes_when_this_end_has_said_its_last() -> None:
    """Who waits for room is told of the end of the link, by nothing else."""
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        await cluster[2].start(Nap)
        handle = cluster[2].services()[-1]
        ends: list[str] = []

        async def call() -> None:
            try:
                await cluster[1].call(handle, "nap", 1.0)
            except NodeDown:
                ends.append("node down")
            else:
                ends.append("answer")

        for _ in range(2_500):
            nursery.start_soon(call)
        await trio.sleep(0.9)
        peer = peer_of(cluster, 1, 2)
        assert peer._lines
        nursery.start_soon(peer.finish, "a test")
        await trio.sleep(10)
        assert len(ends) == 2_500
        assert ends.count("node down") > 500
