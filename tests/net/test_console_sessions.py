"""Sessions of the console: who comes in, bad lines, slow and hostile clients; all in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.console_client import SECRET, Network
from trionet import ClusterConfig, ConfigError, ConsoleConfig, ConsoleDoor, RemoteError
from trionet.net.greeting import GreetingFailed, greet
from trionet.net.identity import Identity
from trionet.testing import open_simulated_node
from trionet.wire.handshake import Dialer
from trionet.wire.hellos import Purpose
from trionet.wire.secrets import Secret

Say = Callable[[Any], Awaitable[None]]


class Answers:
    """Answers lines in all the ways there are, and remembers what was begun and what came to its end."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def answer(self, line: str, say: Say) -> Any:
        self.log.append(line)
        match line.split():
            case ["sleep", seconds]:
                try:
                    await trio.sleep(float(seconds))
                except trio.Cancelled:
                    self.log.append("cancelled")
                    raise
            case ["count", most]:
                for each in range(int(most)):
                    await say(each)
            case ["large"]:
                return "x" * 1_000_000
            case ["tick"]:
                while True:
                    await say("tick")
                    await trio.sleep(1)
            case ["raise"]:
                raise RemoteError("shop.Empty", "nothing left", "Traceback ...")
            case ["group"]:
                raise ExceptionGroup("several", [KeyError("a")])
        return line


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Network, Answers]]:
    """A door behind which lines are answered."""
    network, answers = Network(), Answers()
    async with open_simulated_node() as node, trio.open_nursery() as nursery:
        address = await nursery.start(network.door(**settings).run, node, answers.answer)
        assert address == "server:2600"
        yield network, answers
        nursery.cancel_scope.cancel()


async def test_each_request_has_one_end_in_order(virtual_time: None) -> None:
    async with served() as (network, _), network.client() as client:
        for line in ("a", "count 2", "raise", "group", "b"):
            await client.send({"line": line})
        assert [await client.reply() for _ in range(7)] == [
            {"reply": "result", "data": "a"},
            {"reply": "item", "data": 0},
            {"reply": "item", "data": 1},
            {"reply": "result", "data": "count 2"},
            {"reply": "error", "kind": "shop.Empty", "text": "nothing left", "notes": ["Traceback ..."]},
            {"reply": "error", "kind": "ExceptionGroup", "text": "several (1 sub-exception)"},
            {"reply": "result", "data": "b"},
        ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"", "found '', which is no JSON, expected {\"line\": "),
        (b"list", "found 'list', which is no JSON"),
        (b"\xff\xfe\x00", "which is no JSON"),
        (b"[" * 5000, "which is no JSON"),
        (b"GET / HTTP/1.1\r", "found 'GET / HTTP/1.1\\r', which is no JSON"),
        (b"7", "found '7', expected"),
        (b'{"line": 7}', "found '{\"line\": 7}', expected"),
        (b'{"line": "a", "more": 1}', "expected {"),
        (b'{"stop": false}', "expected {"),
        (b"{}", "found '{}', expected"),
        (b'{"line": "' + b"x" * 10_000_000 + b'"}', "found a line of more than 65536 bytes, and dropped it"),
    ],
)
async def test_a_line_that_is_no_request(line: bytes, text: str, virtual_time: None) -> None:
    """It has an error for its end, and the next one is answered."""
    async with served() as (network, answers), network.client() as client:
        await client.send(line)
        await client.send({"line": "a"})
        reply = await client.reply()
        assert (reply["reply"], reply["kind"]) == ("error", "BadRequest")
        assert text in reply["text"]
        assert await client.reply() == {"reply": "result", "data": "a"}
        assert answers.log == ["a"]


async def test_a_line_that_never_ends(virtual_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told when it is too long, costs no memory, and the client in the end its connection."""
    monkeypatch.setattr("trionet.net.console_session.MOST_DROPPED", 5_000_000)
    async with served() as (network, _), network.client() as client:
        sent = 0
        with suppress(trio.BrokenResourceError):
            while sent < 100_000_000:
                await client.send_part(b"x" * 50_000)
                sent += 50_000
        assert sent < 8_000_000
        reply = await client.reply()
        assert reply["text"] == "found a line of more than 65536 bytes, and dropped it"


async def test_what_was_asked_can_be_stopped(virtual_time: None) -> None:
    async with served() as (network, answers), network.client() as client:
        await client.send({"line": "sleep 100"})
        await client.send({"line": "sleep 200"})
        await client.send({"stop": True})
        await client.send({"line": "a"})
        assert [(await client.reply())["reply"] for _ in range(3)] == ["stopped", "stopped", "result"]
        await client.send({"stop": True})  # nothing to stop
        await client.send({"line": "tick"})
        assert [(await client.reply())["data"] for _ in range(3)] == ["tick"] * 3
        await client.send({"stop": True})
        while (reply := await client.reply())["reply"] == "item":
            pass
        assert reply == {"reply": "stopped"}
        assert trio.current_time() < 10
        assert "sleep 200" not in answers.log


async def test_a_client_that_goes_away_ends_what_it_asked_for(virtual_time: None) -> None:
    async with served() as (network, answers):
        async with network.client() as client:
            await client.send({"line": "sleep 100"})
            await trio.sleep(1)
        await trio.sleep(1)
        assert answers.log == ["sleep 100", "cancelled"]


async def test_a_client_that_stops_reading_loses_its_connection(virtual_time: None) -> None:
    async with (
        served(write_timeout=7.0, clients=2) as (network, answers),
        network.client() as client,
        network.client() as other,
    ):
        for _ in range(5):
            await client.send({"line": "large"})
        began = trio.current_time()
        assert await other.ask("a") == "a"
        assert trio.current_time() - began < 1
        await trio.sleep(10)
        assert answers.log.count("large") == 2  # the second reply found no room
        async with network.client() as third:
            assert await third.ask("b") == "b"


async def test_requests_wait_and_then_no_more_are_read(virtual_time: None) -> None:
    async with served() as (network, answers), network.client() as client:
        await client.send({"line": "sleep 50"})
        with trio.move_on_after(20) as scope:
            for number in range(100_000):
                await client.send({"line": f"{number} {'x' * 1000}"})
        assert scope.cancelled_caught
        assert answers.log == ["sleep 50"]


async def test_no_more_clients_than_are_allowed(virtual_time: None) -> None:
    async with served(clients=2) as (network, _), network.client():
        async with network.client():
            turned_away = await network.connect()
            reply = await turned_away.reply()
            assert (reply["kind"], reply["text"]) == (
                "TooManyClients",
                "2 clients are there already, as many as this console serves (console.clients)",
            )
            assert await turned_away.reply() == {}
        await trio.sleep(1)
        async with network.client() as client:
            assert await client.ask("a") == "a"


async def test_a_wrong_secret_gets_nothing(virtual_time: None, caplog: pytest.LogCaptureFixture) -> None:
    async with served() as (network, answers):
        with pytest.raises(GreetingFailed, match="refused this node"):
            await network.connect(Secret(bytes(range(100, 132))))
        connection = await network.network.host("stranger").connect("server:2600")
        await connection.stream.send_all(b'{"line": "kill .world"}\n')
        with suppress(trio.BrokenResourceError):
            while await connection.stream.receive_some():
                pass
        assert not answers.log
    assert "the dialer knows no secret of this node" in caplog.text


async def test_a_link_between_nodes_is_no_console(virtual_time: None) -> None:
    """The purpose is part of the handshake."""
    async with served() as (network, _):
        connection = await network.network.host("node").connect("server:2600")
        identity = Identity("trionet", 5, (SECRET,), 2)
        handshake = Dialer(identity.on(connection), bytes(32), Purpose.MASTER)
        with pytest.raises(GreetingFailed):
            await greet(connection, handshake)


def test_tcp_needs_the_secret(tmp_path: Path) -> None:
    config = ConsoleConfig(address="127.0.0.1:2600")
    with pytest.raises(ConfigError, match=r"console\.address: found .* without cluster\.secret_file"):
        ConsoleDoor(config)
    with pytest.raises(ConfigError, match=r"cluster\.secret_file: .* cannot be read"):
        ConsoleDoor(config, ClusterConfig(secret_file=str(tmp_path / "none")))
