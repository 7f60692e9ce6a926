"""The commands of the console, on its own node and on others, in virtual time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from tests.console_client import Client, Network, console_of
from tests.services.workers import Narrow, Worker
from trionet import NodeConfig, TraceConfig, spec
from trionet.services import Console, Launcher
from trionet.services.console.service import COMMANDS
from trionet.testing import SimulatedCluster, open_cluster, open_simulated_node

CONFIG = NodeConfig(launch=("tests.services.workers:*",))
WORKERS = "tests.services.workers"

pytestmark = pytest.mark.usefixtures("virtual_time")


@asynccontextmanager
async def console() -> AsyncIterator[tuple[SimulatedCluster, Client]]:
    """Two nodes, with a worker on each; the console is on the first."""
    async with open_cluster(2, config=CONFIG) as cluster:
        for number, node in cluster.nodes.items():
            await node.start(Launcher, name=".launcher")
            await node.start(spec(Worker, number), name=".worker")
        async with console_of(cluster[1]) as client:
            yield cluster, client


async def test_services_are_listed() -> None:
    async with console() as (_, client):
        here, there = await client.ask("list"), await client.ask("@2 list")
        assert [each["name"] for each in here] == [".launcher", ".worker", ".console"]
        assert [each["handle"] for each in there] == [":02000001", ":02000002"]
        assert there[1] == {
            "handle": ":02000002",
            "name": ".worker",
            "class": "tests.services.workers:Worker",
            "life": "running",
            "messages": 0,
            "cpu": 0.0,
            "inbox": 0,
            "running": 0,
        }
        assert len(await client.ask("list 1")) == 1


async def test_a_node_alone_needs_no_launcher() -> None:
    async with open_simulated_node() as node, console_of(node) as client:
        assert [each["name"] for each in await client.ask("list")] == [".console", ".launcher"]
        (row,) = await client.ask("nodes")
        assert (row["harbor"], row["linked"], row["services"]) == (0, True, 2)
        assert await client.ask("links") == []
        await node.kill(".launcher")


async def test_services_are_measured_wherever_they_are() -> None:
    """By handle, by the short form of one, by local and by global name."""
    async with console() as (cluster, client):
        await cluster[2].start(spec(Worker, 5), name="world")
        await cluster[1].wait_for_name("world")
        for target, harbor in [(".worker", 1), (":2", 1), (":01000002", 1), (":02000002", 2), ("world", 2)]:
            assert (await client.ask(f"stat {target}"))["handle"].startswith(f":0{harbor}")
            assert (await client.ask(f"info {target}"))["handle"].startswith(f":0{harbor}")
            assert "milliseconds" in await client.ask(f"ping {target}")
        assert (await client.ask("@2 stat .worker"))["handle"] == ":02000002"
        assert (await client.ask("@2 stat :2"))["handle"] == ":02000002"
        assert (await client.ask("stat"))["name"] == "node1"
        assert (await client.ask("@2 stat"))["incarnation"] == f"{cluster[2].incarnation:016x}"
        assert {"name": "world", "handle": ":02000003"} in await client.ask("names")
        assert "expected" not in await client.problem("stat wrold")


async def test_commands_are_called() -> None:
    async with console() as (_, client):
        assert await client.ask("call .worker double(4)") == 8
        assert await client.ask("@2 call .worker describe") == "2 m on harbor 2"
        assert await client.ask("call :02000002 double ( number = 5 )") == 10
        wrong = await client.problem("call .worker double(Ann)")
        assert wrong.startswith("BadLine: found Ann, expected a value")
        assert "the command is" in await client.problem("call .worker double(1, 2)")
        assert "has no command 'steal'" in await client.problem("call .worker steal()")
        assert "nobody owns the name '.wroker' on node 2" in await client.problem("@2 call .wroker x")
        assert (await client.problem("call .worker double(1j)")).startswith("BadMessage: args[0]: complex")


async def test_an_error_of_a_handler_has_its_traceback() -> None:
    async with console() as (_, client):
        await client.send({"line": "call .worker double(null)"})
        reply = await client.reply()
        assert reply["kind"] == "TypeError"
        assert "return 2 * number" in "".join(reply["notes"])


async def test_services_are_started_and_ended() -> None:
    async with console() as (cluster, client):
        made = await client.ask(f'@2 start {WORKERS}:Worker(7, unit="km") .w')
        assert cluster[2].lookup(".w") is not None
        assert await client.ask(f"call {made['handle']} describe") == "7 km on harbor 2"
        assert await client.ask(f"stop {made['handle']}") is None
        assert await client.ask("@2 kill .worker") is None
        assert [each["name"] for each in await client.ask("@2 list")] == [".launcher"]
        assert (await client.problem("start os:system('id')")).startswith("LaunchRefused: node node1 allows")
        plain = await client.ask(f"start {WORKERS}:Plain")
        assert await client.ask(f"kill {plain['handle']}") is None
        await client.send({"line": f"start {WORKERS}:Failing()"})
        reply = await client.reply()
        assert reply["kind"] == "StartFailed"
        assert "the roof is leaking" in "".join(reply["notes"])


async def test_where_handlers_wait() -> None:
    async with console() as (cluster, client), trio.open_nursery() as nursery:
        narrow = await cluster[2].start(Narrow)
        nursery.start_soon(narrow.hold, 10)
        await trio.sleep(3)
        (task,) = await client.ask(f"task {cluster[2].handle_of(narrow)}")
        assert (task["command"], task["from"], task["abandoned"]) == ("hold", "the node", False)
        assert task["seconds"] == pytest.approx(3, abs=0.1)
        assert "in hold: await trio.sleep(seconds)" in task["stack"][0]


async def test_nodes_and_links() -> None:
    async with console() as (cluster, client):
        one, two = await client.ask("nodes")
        assert (one["name"], two["name"], two["services"]) == ("node1", "node2", 2)
        (link,) = await client.ask("links")
        assert (link["harbor"], link["address"]) == (2, "node2:2526")
        (traffic,) = await client.ask("@2 net")
        assert traffic["bytes_received"] > 0
        await cluster.start(3)  # it has no launcher
        await cluster[1].cluster.wait_connected(3)
        assert (await client.ask("nodes"))[2]["problem"] == "no answer within 2 s"


async def test_a_node_that_goes_away() -> None:
    async with console() as (cluster, client):
        await client.send({"line": "@2 messages .worker"})
        await trio.sleep(1)
        await cluster.crash(2)
        assert (await client.reply())["kind"] == "NodeDown"
        assert "there is no harbor 9" in await client.problem("@9 list")
        assert (await client.problem("stat :02000002")).startswith("NodeDown: ")


async def test_messages_are_followed() -> None:
    async with console() as (cluster, client):
        await client.send({"line": "@2 messages .worker"})
        await trio.sleep(1)
        worker = cluster[2].ref(".worker", Worker)
        await worker.double(21)
        assert (await client.reply())["data"] == "#1 call double(21) from the node"
        assert (await client.reply())["data"].startswith("#1 double returned 42 after ")
        await client.send({"stop": True})
        assert await client.reply() == {"reply": "stopped"}
        assert not cluster[2].taps
        await client.send({"line": "@2 messages .worker"})
        await trio.sleep(1)
        await cluster[2].stop(".worker")
        assert await client.reply() == {"reply": "result", "data": "the service has ended"}


async def test_messages_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trionet.messages")
    async with console() as (cluster, client):
        assert await client.ask("logon .worker 5") is None
        assert await client.ask("call .worker double(1)") == 2
        await trio.sleep(1)
        assert ":01000002 .worker #1 call double(1) from :01000003" in caplog.text
        assert await client.ask("logoff .worker") is None
        assert await client.ask("logoff .worker") == "its messages were not logged"
        assert not cluster[1].taps


async def test_a_console_stops_at_once_with_a_client_in_it() -> None:
    async with open_simulated_node() as node:
        network = Network()
        await node.start(spec(Console, network.door()), name=".console")
        async with network.client() as client:
            await client.send({"line": "load"})
            await client.reply()
            await node.stop(".console")
            assert trio.current_time() < 5
            with suppress(trio.BrokenResourceError), trio.fail_after(5):
                while await client.reply():
                    pass


async def test_dead_letters() -> None:
    async with console() as (cluster, client):
        handle = cluster[2].handle_of(".worker")
        await cluster[2].stop(".worker")
        await client.send({"line": "@2 deadletters follow"})
        await trio.sleep(1)
        await cluster[2].send(handle, "double", 1)
        assert (await client.reply())["data"].startswith("double from the node to :02000002: no service at")
        await client.send({"stop": True})
        await client.reply()
        assert await client.ask("@2 deadletters") == [{"target": ":02000002", "count": 1}]


async def test_memory_and_log_levels() -> None:
    async with console() as (_, client):
        assert (await client.ask("mem"))["blocks"] > 0
        assert (await client.ask("@2 gc"))["objects"] >= 0
        level = {"logger": "some.logger", "level": "WARNING"}
        assert level in await client.ask("loglevel some.logger warning")
        assert level not in await client.ask("loglevel some.logger notset")
        assert (await client.problem("loglevel root loud")).startswith("NoSuchLevel: found 'loud'")


async def test_the_load_of_all_nodes() -> None:
    async with console() as (cluster, client), trio.open_nursery() as nursery:

        async def work() -> None:
            worker = cluster[2].ref(".worker", Worker)
            while True:
                await worker.double(1)
                await trio.sleep(0.1)

        nursery.start_soon(work)
        await client.send({"line": "load 2 3"})
        await client.reply()
        reply = await client.reply()
        one, two = reply["data"]
        assert (one["node"]["name"], two["harbor"]) == ("node1", 2)
        assert two["busiest"][0]["label"] == ".worker"
        assert two["busiest"][0]["rate"] == pytest.approx(10, abs=1)
        nursery.cancel_scope.cancel()
    async with console() as (cluster, client):
        await client.send({"line": "load"})
        reply = await client.reply()
        await cluster.crash(2)
        while len(reply["data"]) == 2:
            reply = await client.reply()
        await client.send({"stop": True})
        while reply["reply"] == "item":
            reply = await client.reply()
        assert await client.ask("call .worker double(1)") == 2


async def test_recorded_call_chains() -> None:
    config = NodeConfig(trace=TraceConfig(sample=1.0))
    async with open_simulated_node(config) as node, console_of(node) as client:
        await node.start(spec(Worker, 1), name=".worker")
        await client.ask("call .worker double(2)")
        (chain,) = await client.ask("trace")
        assert (chain["service"], chain["command"]) == (".worker (:00000002)", "double")
        lines = (await client.ask(f"trace {chain['trace']}")).splitlines()
        assert lines[0] == f"trace {chain['trace']}: 1 handler on 1 node"
        assert lines[1].startswith(".worker.double")
        assert await client.ask("trace 1") == "nothing is recorded of that trace"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "found an empty line; help lists the commands"),
        ("   ", "found an empty line"),
        ("lst", "found 'lst', which is no command; did you mean \"list\"?"),
        ("\x1b[2J" + "x" * 1000, "found '\\x1b[2Jxxx"),
        ("@x list", "found @x, expected @ and the harbor id of a node, as in @2"),
        ("@2222222222222222 list", "found @2222222222222222, expected"),
        ("@2", "found '@2', which is no command"),
        ("list 0", "found '0', expected a whole number"),
        ("list many", "found 'many', expected a whole number"),
        ("list 1 2", "found 2 words after the command, expected: list [MOST]"),
        ("task", "found 0 words after the command, expected: task SERVICE"),
        ("stat :xyz", "expected a handle as in :01000007 or :7, or a name"),
        ("stat :0", "expected a handle of one to eight hex digits"),
        ("stat :123456789", "expected a handle of one to eight hex digits"),
        ("stat .a b", "found 2 words"),
        ("stat a:b", "is no name"),
        ("@2 stat :01000002", "found @2 and :01000002, which is on node 1"),
        ("call", "expected: call SERVICE COMMAND(ARGUMENTS)"),
        ("call .worker", "expected: call SERVICE"),
        ("call .worker double(1) more", "expected: call SERVICE"),
        ("start Worker", "expected: start MODULE:CLASS(ARGUMENTS) [NAME]"),
        ("loglevel root", "expected: loglevel [LOGGER LEVEL]"),
        ("logon .worker x", "expected a whole number of lines"),
        ("deadletters now", "expected: deadletters [follow]"),
        ("trace xyz", "found 'xyz', expected the 16 digits of a trace"),
        ("load 0", "expected: load [SECONDS [SERVICES]]"),
        ("load x", "expected a value"),
        ("load 1 2 3", "expected: load [SECONDS [SERVICES]]"),
        ("help nothing", "found 'nothing', which is no command"),
        ("inject x", "which is no command"),
    ],
)
async def test_a_line_that_says_nothing(line: str, problem: str) -> None:
    async with open_simulated_node() as node, console_of(node) as client:
        found = await client.problem(line)
        assert problem in found
        assert len(found) < 300
        if node.lookup(".launcher"):
            await node.kill(".launcher")


async def test_help_tells_of_every_command() -> None:
    async with open_simulated_node() as node, console_of(node) as client:
        told = await client.ask("help")
        assert [each["command"].split()[0] for each in told] == list(COMMANDS)
        assert [each["command"] for each in await client.ask("help ping")] == ["ping SERVICE"]
        assert node.service_info(".console") == {"address": "server:2600"}
