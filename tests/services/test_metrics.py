"""Figures for Prometheus: what is told, and the small server that tells it."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import wait_all_tasks_blocked

from trionet import Node, NodeConfig, Service, StartFailed, command, open_node, spec
from trionet.services import pages
from trionet.services.metrics import PATH, MetricsServer, NodeCollector
from trionet.services.pages import Page, Pages
from trionet.testing import open_cluster

PROMTOOL = shutil.which("promtool")


class Shop(Service):
    @command
    async def sell(self, item: str, seconds: float = 0) -> str:
        await trio.sleep(seconds)
        if not item:
            raise ValueError("nothing")
        return item


def page_of(node: Node) -> bytes:
    registry = CollectorRegistry()
    registry.register(NodeCollector(node))
    return generate_latest(registry)


def figures(node: Node) -> dict[str, float]:
    """Each sample by its name and labels, as Prometheus reads it."""
    families = text_string_to_metric_families(page_of(node).decode())
    return {
        sample.name + "".join(f",{key}={each}" for key, each in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


# what is told


async def test_the_figures_of_a_node_never_go_back(node: Node) -> None:
    shop = await node.start(Shop)
    for _ in range(3):
        await shop.sell("tea")
    told = figures(node)
    assert told["trionet_messages_total"] == 3
    assert told["trionet_services"] == 1
    assert told["trionet_handler_cpu_seconds_total"] > 0
    await node.stop(shop)
    await shop.sell.send("tea")
    later = figures(node)
    assert later["trionet_messages_total"] == 3
    assert later["trionet_handler_cpu_seconds_total"] == told["trionet_handler_cpu_seconds_total"]
    assert (later["trionet_services"], later["trionet_dead_letters_total"]) == (0, 1)
    assert not any("handler_duration" in each for each in told)
    assert node.statistics().messages == 0


class TestProfile:
    @pytest.fixture
    def node_config(self) -> NodeConfig:
        return NodeConfig(profile=True)

    async def test_a_node_with_a_profile_tells_of_each_command(self, node: Node) -> None:
        shop = await node.start(Shop)
        for seconds in (0.02, 0.2, 2):
            await shop.sell("tea", seconds)
        with pytest.raises(Exception, match="nothing"):
            await shop.sell("")
        told = figures(node)
        where = f"command=sell,service_class={__name__}:Shop"
        assert told[f"trionet_handler_duration_seconds_count,{where}"] == 4
        assert told[f"trionet_handler_duration_seconds_sum,{where}"] == pytest.approx(2.22)
        bucket = "trionet_handler_duration_seconds_bucket,command=sell,le="
        counts = [
            told[f"{bucket}{le},service_class={__name__}:Shop"] for le in ("0.01", "0.025", "0.25", "+Inf")
        ]
        assert counts == [1, 2, 3, 4]
        assert told[f"trionet_handler_errors_total,{where}"] == 1
        assert told[f"trionet_handler_cancellations_total,{where}"] == 0


def what_promtool_says(page: bytes) -> str:
    command_line = [PROMTOOL or "", "check", "metrics"]
    checked = subprocess.run(command_line, input=page, capture_output=True, timeout=30, check=False)
    return (checked.stdout + checked.stderr).decode() or "wrong" * checked.returncode


async def test_each_link_is_told_of(virtual_time: None) -> None:
    async with open_cluster(2, config=NodeConfig(profile=True)) as cluster:
        shop = cluster[1].ref(cluster[2].handle_of(await cluster[2].start(Shop)), Shop)
        for _ in range(5):
            await shop.sell("tea")
        here, there = figures(cluster[1]), figures(cluster[2])
        assert here["trionet_link_sent_messages_total,harbor=2"] == 5
        assert there["trionet_link_received_messages_total,harbor=1"] == 5
        assert here["trionet_link_sent_bytes_total,harbor=2"] > 100
        assert here["trionet_link_open_calls,harbor=2"] == 0
        assert "trionet_link_round_trip_seconds,harbor=2" not in here
        await trio.sleep(11)  # two heartbeats
        assert 0 < figures(cluster[1])["trionet_link_round_trip_seconds,harbor=2"] < 0.01


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)")
async def test_promtool_finds_nothing_to_say(virtual_time: None) -> None:
    async with open_cluster(2, config=NodeConfig(profile=True)) as cluster:
        shop = cluster[1].ref(cluster[2].handle_of(await cluster[2].start(Shop)), Shop)
        await shop.sell("tea")
        page = page_of(cluster[2])
    assert what_promtool_says(page) == ""
    assert "trionet_stalls" in what_promtool_says(page.replace(b"trionet_stalls_total", b"trionet_stalls"))


# how it is served


async def ask(address: str, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes and read all that comes back."""
    host, _, port = address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(request)
        if end:
            await stream.send_eof()
        return b"".join([each async for each in stream])


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


async def test_the_page_is_served_on_loopback() -> None:
    async with open_node() as node:
        server = await node.start(spec(MetricsServer, "127.0.0.1:0"))
        (address,) = await server.addresses()
        head, _, body = (await ask(address, get(PATH + "?x=1"))).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-type: text/plain; version=" in head.lower()
        assert b"trionet_services 1.0" in body
        assert b"python_info" in body
        bare = await ask(address, get(PATH, "HEAD"))
        assert bare.startswith(b"HTTP/1.1 200 ")
        assert bare.endswith(b"\r\n\r\n")
        assert b"content-length: 0" not in bare.lower()
        assert (await ask(address, get("/"))).startswith(b"HTTP/1.1 404 ")
        refused = await ask(address, get(PATH, "DELETE"))
        assert refused.startswith(b"HTTP/1.1 405 ")
        assert b"allow: GET, HEAD" in refused
        with pytest.raises(StartFailed, match="OSError"):
            await node.start(spec(MetricsServer, address))
    with pytest.raises(OSError):
        await ask(address, get(PATH))


class Listener:
    """Accepts what it is given: streams, and errors."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[Any](100)

    async def accept(self) -> Any:
        found = await self.receive.receive()
        if isinstance(found, Exception):
            raise found
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.receive.close()

    async def ask(self, request: bytes, *, end: bool = False) -> bytes:
        """Connect, send bytes, and read all that comes back."""
        ours, theirs = trio.testing.memory_stream_pair()
        self.send.send_nowait(theirs)
        await ours.send_all(request)
        if end:
            await ours.send_eof()
        async with ours:
            return b"".join([bytes(each) async for each in ours])


def hello() -> tuple[str, bytes]:
    return "text/plain", b"hello"


def broken() -> tuple[str, bytes]:
    raise KeyError("broken")


@asynccontextmanager
async def served(**more: Page) -> AsyncIterator[Listener]:
    """Serve two pages in virtual time."""
    listener = Listener()
    async with trio.open_nursery() as nursery:
        server: Any = Pages({"/": hello, "/broken": broken} | more)
        nursery.start_soon(server.serve, listener)
        yield listener
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/"), b"200"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello", b"405"),
        (get("/../etc/passwd"), b"404"),
        (b"\x00\xff nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * pages.MOST_HEAD, b"431"),
        (get("/broken"), b"500"),
    ],
)
async def test_each_request_has_its_answer(virtual_time: None, request_bytes: bytes, status: bytes) -> None:
    async with served() as listener:
        assert (await listener.ask(request_bytes)).split()[1] == status
        assert (await listener.ask(get("/"))).endswith(b"\r\n\r\nhello")


async def test_who_says_nothing_gets_nothing_and_not_for_ever(virtual_time: None) -> None:
    async with served() as listener:
        assert await listener.ask(b"", end=True) == b""
        began = trio.current_time()
        assert await listener.ask(b"GET /") == b""
        assert trio.current_time() - began == pages.PATIENCE


async def test_no_more_connections_are_served_than_it_says(virtual_time: None) -> None:
    ended: list[float] = []

    async def note(request: bytes) -> None:
        await listener.ask(request)
        ended.append(trio.current_time() - began)

    async with served() as listener:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(pages.MOST_CONNECTIONS):
                nursery.start_soon(note, b"GET")
            await wait_all_tasks_blocked()
            nursery.start_soon(note, get("/"))
        assert ended == [pages.PATIENCE] * (pages.MOST_CONNECTIONS + 1)


async def test_a_reader_that_goes_away_ends_nothing(virtual_time: None) -> None:
    async with served() as listener:
        ours, theirs = trio.testing.memory_stream_pair()
        await ours.send_all(get("/"))
        ours.receive_stream.close()
        listener.send.send_nowait(theirs)
        await wait_all_tasks_blocked()
        assert (await listener.ask(get("/"))).endswith(b"hello")


async def test_what_goes_wrong_is_logged(virtual_time: None, caplog: pytest.LogCaptureFixture) -> None:
    async with served() as listener:
        await listener.ask(get("/broken"))
        listener.send.send_nowait(OSError(24, "too many open files"))
        assert (await listener.ask(get("/"))).endswith(b"hello")
    assert [(each.levelno, each.message) for each in caplog.records] == [
        (logging.ERROR, "/broken could not be made"),
        (logging.WARNING, "a connection could not be accepted: [Errno 24] too many open files"),
    ]
