"""Hostile strangers (C14): who cannot prove the secret costs nobody anything, and is told nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pytest
import trio

from tests.net.hostile import Scene, open_scene, read_to_end
from trionet.net.greeting import GreetingFailed
from trionet.wire.agreement import LinkIdentity
from trionet.wire.handshake import Dialer
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.secrets import Secret

HANG_UP = 5.0


def hello(scene: Scene, *secrets: Secret) -> bytes:
    """What somebody with these secrets says first to node 1."""
    identity = LinkIdentity(cluster="trionet", harbor=9, incarnation=7, secrets=secrets, records=True)
    wanted = (1, scene.node(1).incarnation)
    return Dialer(identity, os.urandom(NONCE_SIZE), Purpose.PEER, *wanted).data_to_send()


@pytest.mark.parametrize("master", [False, True])
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        bytes(600),
        b"\xff" * 600,
        b"\x00\x00\x00\x05hello",
    ],
    ids=["http", "tls", "zeros", "ones", "short frame"],
)
async def test_c14_garbage(caplog: pytest.LogCaptureFixture, garbage: bytes, master: bool) -> None:
    async with open_scene(caplog) as scene:
        stream = await scene.connect(1, master=master)
        await stream.send_all(garbage)
        with trio.fail_after(HANG_UP):
            assert await read_to_end(stream) == b""
        await scene.wait_logged("a connection from 127.0.0.1:")
        assert "was refused: " in caplog.text


@pytest.mark.parametrize(
    ("said", "level"),
    [
        (lambda scene: b"", logging.DEBUG),
        (lambda scene: b"\x00\x00", logging.INFO),
        (lambda scene: hello(scene, scene.secret), logging.INFO),
        (lambda scene: hello(scene), logging.WARNING),
        (lambda scene: hello(scene, scene.secret).replace(b"trionet\x00", b"another\x00"), logging.WARNING),
        (lambda scene: b"GET / HTTP/1.1\r\n", logging.WARNING),
    ],
    ids=["nothing", "the beginning", "a hello", "without a secret", "another protocol", "garbage"],
)
async def test_c14_only_who_says_something_wrong_is_worth_a_warning(
    caplog: pytest.LogCaptureFixture, said: Callable[[Scene], bytes], level: int
) -> None:
    """Who closes in the middle of a handshake may be a node that stops, or a look at the port."""
    async with open_scene(caplog) as scene:
        caplog.set_level(logging.DEBUG)
        stream = await scene.connect(1)
        await stream.send_all(said(scene))
        await stream.send_eof()
        with trio.fail_after(HANG_UP):
            await read_to_end(stream)
        await scene.wait_logged("a connection from 127.0.0.1:")
    (record,) = [each for each in caplog.records if "a connection from 127.0.0.1:" in each.getMessage()]
    assert record.levelno == level


async def test_c14_random_garbage(caplog: pytest.LogCaptureFixture) -> None:
    async with open_scene(caplog) as scene:
        for size in (1, 4, 5, 64, 600, 100_000):
            stream = await scene.connect(1)
            with trio.move_on_after(HANG_UP):
                try:
                    await stream.send_all(os.urandom(size))
                except trio.BrokenResourceError:
                    continue
                assert await read_to_end(stream) == b""


async def test_c14_a_huge_length(caplog: pytest.LogCaptureFixture) -> None:
    """It is refused by its first bytes; nothing waits for four gigabytes."""
    async with open_scene(caplog) as scene:
        stream = await scene.connect(1)
        await stream.send_all(b"\xff\xff\xff\xff\x01")
        with trio.fail_after(0.9):
            assert await read_to_end(stream) == b""
        await scene.wait_logged("was refused: ")


@pytest.mark.parametrize("master", [False, True])
async def test_c14_stops_in_mid_frame_and_never_finishes_the_handshake(
    caplog: pytest.LogCaptureFixture, master: bool
) -> None:
    async with open_scene(caplog) as scene:

        async def fall_silent(after: bytes) -> None:
            stream = await scene.connect(1, master=master)
            if after:
                await stream.send_all(after)
            began = trio.current_time()
            assert await read_to_end(stream) == b""
            assert 0.8 < trio.current_time() - began < HANG_UP

        async with trio.open_nursery() as nursery:
            for said in (b"", b"\x00\x00\x00", b"\x00\x00\x00\x90\x01trionet\x00"):
                nursery.start_soon(fall_silent, said)
        await scene.wait_logged("did not finish its handshake", times=3)


async def test_c14_one_byte_at_a_time_does_not_prolong_the_handshake(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_scene(caplog) as scene:
        stream = await scene.connect(1)
        began = trio.current_time()
        hello = b"\x00\x00\x00\x90\x01trionet\x00" + bytes(133)
        with pytest.raises(trio.BrokenResourceError):
            await send_slowly(stream, hello)
        assert trio.current_time() - began < HANG_UP


async def send_slowly(stream: trio.SocketStream, data: bytes) -> None:
    for index in range(len(data)):
        await stream.send_all(data[index : index + 1])
        await trio.sleep(0.05)
    await stream.send_all(data)


@pytest.mark.parametrize("purpose", [Purpose.PEER, Purpose.MASTER])
async def test_c14_the_wrong_secret(caplog: pytest.LogCaptureFixture, purpose: Purpose) -> None:
    """All failures look alike to the stranger; the victim's log has the reason."""
    async with open_scene(caplog) as scene:
        stream = await scene.connect(1, master=purpose is Purpose.MASTER)
        with pytest.raises(GreetingFailed):
            await scene.shake_hands(
                stream, harbor=3, incarnation=7, secret=Secret(os.urandom(32)), purpose=purpose
            )
        await scene.wait_logged("was refused: ")
        assert "secret" in caplog.text


async def test_c14_a_node_with_the_wrong_purpose(caplog: pytest.LogCaptureFixture) -> None:
    """A slave at a node's address, and a node at the master's."""
    async with open_scene(caplog) as scene:
        for master, purpose in ((False, Purpose.MASTER), (True, Purpose.PEER)):
            stream = await scene.connect(1, master=master)
            with pytest.raises(GreetingFailed):
                await scene.shake_hands(stream, harbor=3, incarnation=7, purpose=purpose)
        await scene.wait_logged("was refused: ")


async def test_c14_a_recorded_handshake_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Every byte that node 2 once said to node 1's master and to node 1, said again."""
    async with open_scene(caplog) as scene:
        for master in (False, True):
            recorded = await record(scene.address(1, master=master), scene, master=master)
            assert len(recorded) > 100
            stream = await scene.connect(1, master=master)
            await stream.send_all(recorded)
            with trio.fail_after(HANG_UP):
                answer = await read_to_end(stream)
            assert len(answer) < 200  # the accepter's hello at most: its proof comes after the dialer's
        await scene.wait_logged("was refused: ")
        assert "proof is wrong" in caplog.text


async def record(address: tuple[str, int], scene: Scene, *, master: bool) -> bytes:
    """Let an honest dialer go through a proxy, which writes down what it said."""
    said = bytearray()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:

        async def proxy() -> None:
            near = await listener.accept()
            far = await trio.open_tcp_stream(*address)
            nursery.start_soon(pipe, far, near, bytearray())
            await pipe(near, far, said)

        nursery.start_soon(proxy)
        stream = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        if master:
            await scene.shake_hands(stream, harbor=9, incarnation=7, purpose=Purpose.MASTER)
        else:
            with trio.move_on_after(0.5):
                await scene.shake_hands(stream, harbor=2, incarnation=scene.node(2).incarnation ^ 1)
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()
    await listener.aclose()
    return bytes(said)


async def pipe(source: trio.SocketStream, sink: trio.SocketStream, said: bytearray) -> None:
    async with source, sink:
        while data := await source.receive_some(4096):
            said += data
            await sink.send_all(data)


async def test_c14_a_thousand_connections(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest half-open ones are dropped; nodes still join and call, the log is not flooded."""
    async with open_scene(caplog) as scene:
        streams: list[trio.SocketStream] = []
        async with trio.open_nursery() as nursery:

            async def one(*, master: bool) -> None:
                streams.append(await scene.connect(1, master=master))

            for number in range(1000):
                nursery.start_soon(lambda master=number % 2 == 0: one(master=master))  # type: ignore[misc]
        assert len(streams) == 1000
        await scene.assert_undisturbed()
        node = await scene.cluster.start(3)
        await node.cluster.wait_connected(2)
        assert await node.call("quiet1", "answer") == 42
        await scene.wait_logged("did not finish its handshake")
        lines = [each for each in caplog.records if "finish its handshake" in each.getMessage()]
        assert len(lines) < 200
