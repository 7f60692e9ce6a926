"""Hostile peers (C14): a node of the cluster, which has the secret, can cost its own link, nothing else."""

from __future__ import annotations

from struct import Struct

import attrs
import pytest
import trio

from tests.kernel.lives import Quiet
from tests.kernel.stage import Stage, puppet
from tests.net.hostile import SETTINGS, Scene, open_scene, read_to_end
from trionet import Handle, NodeDown, NoSuchService, Service, command, current_request, spec
from trionet.net.desk import KILL, NODE_ID
from trionet.net.greeting import GreetingFailed
from trionet.wire import link_frames as frames
from trionet.wire.hellos import Purpose
from trionet.wire.link_frames import LinkSettings, bare, goodbye, numbered

#: Seconds until a link that was breached is gone.
SOON = 20.0


def call(session: int, target: int, *, source: int = 1, command: bytes = b"answer", payload: bytes) -> bytes:
    """The frame of a call."""
    route = frames.ROUTE.pack(source, target) + command
    size = frames.CALL_HEAD.size - 4 + len(route) + len(payload)
    head = frames.CALL_HEAD.pack(size, frames.CALL, session, 60.0, 0, 0, len(command))
    return head + route + payload


def send(target: int, *, source: int = 1, command: bytes = b"answer", payload: bytes) -> bytes:
    """The frame of a send."""
    route = frames.ROUTE.pack(source, target) + command
    size = frames.SEND_HEAD.size - 4 + len(route) + len(payload)
    return frames.SEND_HEAD.pack(size, frames.SEND, 0, 0, len(command)) + route + payload


NOTHING = b"\x82\x80\xa0"  # no arguments, as the codec writes them


async def breach(scene: Scene, said: bytes, why: str) -> None:
    """Say it on the link of node 3 to node 1, which closes that link and logs why; node 3 comes back."""
    peer = scene.peer(1, 3)
    scene.inject(said)
    with trio.fail_after(SOON):
        await scene.wait_logged("the link to harbor 3 ended: the peer broke the protocol: ")
        while peer.is_open:  # noqa: ASYNC110 - the peer has no event for it
            await trio.sleep(0.01)
        assert why in scene.log.text
        await scene.assert_undisturbed()
        await scene.node(1).cluster.wait_connected(3)
        await scene.node(3).cluster.wait_connected(1)
    assert scene.peer(1, 3) is not peer


BREACHES = {
    "an answer to a session that was never opened": (
        numbered(frames.REPLY, 7),
        "session 7, which is not open",
    ),
    "a failure of a session that was never opened": (
        frames.FAIL_HEAD.pack(frames.FAIL_HEAD.size - 4, frames.FAIL, 9, 1, 0),
        "session 9, which is not open",
    ),
    "a confirmation of what was not cancelled": (
        numbered(frames.CANCELLED, 5),
        "session 5, which is not open",
    ),
    "a cancellation of a call that never was": (numbered(frames.CANCEL, 10**12), "which never was"),
    "the end of a watch that was never opened": (numbered(frames.EXIT, 3), "watch 3, which is not open"),
    "an acknowledgement of what was not sent": (numbered(frames.ACK, 10**9), "messages acknowledged, of"),
    "credit that was never owed": (
        frames.CREDIT_HEAD.pack(frames.CREDIT_HEAD.size - 4, frames.CREDIT, 1, 5, 5),
        "credit for service 1 that it was never owed",
    ),
    "a source with the harbor id of another node": (
        call(1, 1, source=0x02000001, payload=NOTHING),
        "a message with a field out of range",
    ),
    "a message over the size limit": (
        frames.CHUNK_OPEN_HEAD.pack(6 + 40, frames.CHUNK_OPEN, 0, 1 << 31) + bytes(40),
        "",
    ),
    "a frame of a kind that is none": (bare(200), "a frame of kind 200"),
    "a second open": (LinkSettings().encode(), "which is not allowed now"),
    "a huge length": (b"\xff\xff\xff\xff", ""),
    "a call that is cut short": (b"\x00\x00\x00\x03" + bytes([frames.CALL, 0, 0]), "a malformed frame"),
    "items of a stream that was never opened": (
        frames.ITEMS_HEAD.pack(frames.ITEMS_HEAD.size - 4 + 1, frames.ITEMS, 7, 1) + b"\x01",
        "an item of session 7, which is no open stream",
    ),
    "room for a stream that was never opened": (
        frames.TAKEN_HEAD.pack(frames.TAKEN_HEAD.size - 4, frames.TAKEN, 10**12, 1, 1),
        "which is no stream",
    ),
    "a message for the master": (bare(frames.PAYLOAD, 3) + b"abc", "which is not allowed now"),
}


@pytest.mark.parametrize("kind", list(BREACHES))
async def test_c14_a_breach_closes_the_link_and_nothing_else(
    caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    said, why = BREACHES[kind]
    async with open_scene(caplog, 3) as scene:
        await breach(scene, said, why)


async def test_c14_something_after_the_last_goodbye(caplog: pytest.LogCaptureFixture) -> None:
    """It is not read: the link ends by the goodbye."""
    async with open_scene(caplog, 3) as scene:
        peer = scene.peer(1, 3)
        scene.inject(goodbye("leaving", True) + send(1, payload=NOTHING))
        await scene.wait_logged("the link to harbor 3 ended: the peer said goodbye: leaving")
        assert not peer.is_open
        await scene.node(1).cluster.wait_connected(3)


async def test_c14_what_came_before_a_breach_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Calls to nobody, to the node itself, with garbage as arguments, and then the breach, in one piece."""
    node = Handle.make(1, 1, 5)
    async with open_scene(caplog, 3) as scene:
        kill = scene.peer(3, 1).codec.encode([[node], {}])
        good = [
            call(101, 1, payload=NOTHING),
            call(102, 999, payload=NOTHING),
            call(103, 1, payload=b"\xff\xff"),
            call(104, 1, payload=b"\x01"),
            call(105, 1, command=b"nonsense", payload=NOTHING),
            call(106, NODE_ID, command=KILL.encode(), payload=kill),
            call(107, NODE_ID, command=b"nonsense", payload=b"\xff"),
            send(999, payload=NOTHING),
            send(1, payload=b"\xff"),
            send(NODE_ID, command=b"undelivered", payload=b"\x01"),
            send(NODE_ID, command=b"nonsense", payload=NOTHING),
            frames.WATCH_HEAD.pack(frames.WATCH_HEAD.size - 4, frames.WATCH, 77, 0, 999),
            numbered(frames.CANCEL, 101),
            bare(200),
        ]
        await breach(scene, b"".join(good), "a frame of kind 200")


async def test_c14_nonsense_within_the_protocol_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    """What an authenticated node may say, though no honest one would: each is refused, the link stays."""
    async with open_scene(caplog, 3) as scene:
        peer = scene.peer(1, 3)
        codec = scene.peer(3, 1).codec
        foreign = codec.encode([[Handle.make(2, 1, scene.node(2).incarnation)], {}])
        unlinked = codec.encode([[Handle.make(77, 1, 5)], {}])
        for target, command_, payload in [
            (NODE_ID, KILL, foreign),  # node 1 does not kill for node 3 what lives on node 2
            (NODE_ID, KILL, unlinked),
            (NODE_ID, KILL, b"\xff"),
            (NODE_ID, "undelivered", b"\x82\x84\x01\x02\x03\x04\xa0"),
            (999, "answer", NOTHING),
            (1, "answer", b"\x82\x80\xa1\x01\x02"),
            (1, "answer", b"\xd8\x40\x00"),
            (1, "__init__", NOTHING),
            (1, "_actor", NOTHING),
        ]:
            scene.peer(3, 1).link.send(0, target, command_, payload)
            scene.peer(3, 1).kick()
        with pytest.raises(NoSuchService):
            await scene.node(1).call(":03000001", "answer")
        for payload in (foreign, unlinked):
            link = scene.peer(3, 1).link
            session = link.call(0, NODE_ID, KILL, payload, token=Ignored())
            scene.peer(3, 1).kick()
            while session in link.calls:  # noqa: ASYNC110 - until it is answered
                await trio.sleep(0.01)
        assert await scene.node(3).call("quiet1", "answer") == 42
        assert scene.peer(1, 3) is peer
        assert len(scene.node(2).services()) == 1


class Ignored:
    """Stands for a caller."""

    def fail(self, error: Exception, checks: object) -> None: ...


class Witness(Service):
    """Tells who called."""

    @command
    def who(self) -> Handle | None:
        return current_request().source


async def test_c14_a_source_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    """A message carries no harbor id of its sender: whatever it says, the source lives on the link's peer."""
    async with open_scene(caplog, 3) as scene:
        witness = await scene.node(1).start(Witness)
        ends: list[object] = []

        class Caller:
            def succeed(self, value: object, checks: object) -> None:
                ends.append(value)

        link = scene.peer(3, 1).link
        link.call(0xFFFFFF, scene.node(1).services()[-1].local, "who", NOTHING, token=Caller())
        scene.peer(3, 1).kick()
        with trio.fail_after(SOON):
            while not ends:  # noqa: ASYNC110 - a raw call has no event
                await trio.sleep(0.01)
        assert ends == [Handle.make(3, 0xFFFFFF, scene.node(3).incarnation)]
        assert await scene.node(2).call(witness, "who") is None


async def test_c14_overruns_its_window(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in messages nor in bytes; the inbox never holds more than the window."""
    stage = Stage()
    async with open_scene(caplog, 3) as scene:
        box = await scene.node(1).start(spec(puppet(concurrency=1), stage))
        await box.hold.send("gate")
        local = scene.node(1).services()[-1].local
        await breach(scene, send(local, payload=NOTHING) * 1001, f"the window of service {local} was overrun")
        assert scene.node(1).service_statistics(box).inbox <= 1000
        stage.open("gate")


async def test_c14_opens_more_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    """Calls and watches at a time are bounded, whatever their targets."""
    async with open_scene(caplog, 3) as scene:
        most = LinkSettings().watches
        watch = frames.WATCH_HEAD
        many = b"".join(
            watch.pack(watch.size - 4, frames.WATCH, number, 0, 1) for number in range(1, most + 2)
        )
        await breach(scene, many, f"more than {most} watches at a time")


async def test_c14_stops_in_mid_frame(caplog: pytest.LogCaptureFixture) -> None:
    """A link whose peer falls silent in the middle of a message ends after the heartbeat timeout."""
    settings = attrs.evolve(SETTINGS, heartbeat_timeout=3.0)
    async with open_scene(caplog, 3, settings) as scene:
        peer = scene.peer(1, 3)
        other = scene.peer(3, 1)
        other.link._closed = "the attacker falls silent"
        await other._pump._stream.send_all(b"\x00\x00\x10")
        with trio.fail_after(8):
            while peer.is_open:  # noqa: ASYNC110 - the peer has no event for it
                await trio.sleep(0.05)
        assert "the link to harbor 3 ended: nothing came from the peer for" in caplog.text


async def test_c14_tampers_with_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that were injected into the stream of a link, or changed on the way."""
    async with open_scene(caplog, 3) as scene:
        peer = scene.peer(1, 3)
        stream = scene.peer(3, 1)._pump._stream
        await stream.send_all(Struct(">I").pack(40) + bytes(40))
        with trio.fail_after(SOON):
            await scene.wait_logged("the link to harbor 3 ended: the peer broke the protocol: ")
        assert not peer.is_open
        await scene.node(1).cluster.wait_connected(3)


# --- who has the secret, and is no node of the cluster ------------------------------------------------


async def test_c14_claims_the_harbor_id_of_another(caplog: pytest.LogCaptureFixture) -> None:
    """Another incarnation of it is held until the table knows it, or dropped; the own id is refused."""
    async with open_scene(caplog) as scene:
        stream = await scene.connect(1)
        await scene.shake_hands(stream, harbor=2, incarnation=scene.node(2).incarnation ^ 1)
        with trio.fail_after(SOON):
            assert b"it is not in the table of the master at" in await read_to_end(stream)
        await stream.aclose()
        await scene.wait_logged("as harbor 2 waits: the table does not have that incarnation of it")
        await scene.wait_logged(
            "was refused: harbor 2, in that incarnation: it is not in the table of the master"
        )
        stream = await scene.connect(1)
        with pytest.raises(GreetingFailed, match="the accepter has the harbor id of this node"):
            await scene.shake_hands(stream, harbor=1, incarnation=5)
        await stream.aclose()
        await scene.wait_logged("was refused: ")


async def test_c14_a_link_that_never_opens(caplog: pytest.LogCaptureFixture) -> None:
    """Authenticated, of the right incarnation, at a node or at the master, and then silent."""
    async with open_scene(caplog) as scene:
        for purpose in (Purpose.PEER, Purpose.MASTER):
            stream = await scene.connect(1, master=purpose is Purpose.MASTER)
            incarnation = scene.node(2).incarnation
            await scene.shake_hands(stream, harbor=2, incarnation=incarnation, purpose=purpose)
            began = trio.current_time()
            await read_to_end(stream)
            assert trio.current_time() - began < SOON
        await scene.wait_logged("did not finish its handshake")


async def test_a_node_that_is_killed_under_calls_over_tcp(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred calls at once: each ends at once when the sockets of the callee's node break."""
    stage = Stage()
    async with open_scene(caplog, 3) as scene:
        box = scene.node(1).ref(await scene.node(3).start(spec(puppet(), stage)), puppet())
        ends: list[float] = []

        async def one(number: int) -> None:
            with pytest.raises(NodeDown):
                await box.hold(f"key{number}")
            ends.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, number)
            while len(stage.log) < 100:  # noqa: ASYNC110 - they begin on the other node
                await trio.sleep(0.01)
            began = trio.current_time()
            await scene.cluster.crash(3)
        assert len(ends) == 100
        assert max(ends) - began < 1
        node = await scene.cluster.start(3)
        await node.start(Quiet, name="back")
        await scene.node(2).wait_for_name("back")
        await scene.node(2).cluster.wait_connected(3)
        assert await scene.node(2).call("back", "answer") == 42
