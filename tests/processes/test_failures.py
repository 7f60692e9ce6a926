"""Real nodes over real TCP that are killed, frozen and replaced: what callers see (C3, C4, C11, C12)."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from tests.processes.children import open_stage
from tests.processes.echo import Echo
from trionet import CallError, NameAdded, Node, NodeDown

pytestmark = pytest.mark.timeout(240)

CALLS = 100
#: Seconds for what does not wait for a heartbeat timeout, on a machine that is busy with other things.
SOON = 60.0
#: For frozen nodes: a second in which a process is not scheduled is no death.
SHORT: dict[str, Any] = {"heartbeat": 0.25, "heartbeat_timeout": 2.0}


async def call_and_count(echo: Echo, outcomes: Counter[str]) -> None:
    """Call what never answers, and count how that ends."""
    try:
        await echo.never()
        outcomes["returned"] += 1
    except CallError as error:
        outcomes[f"{type(error).__name__}, executed={error.executed}"] += 1


async def until_running(echo: Echo) -> None:
    """Wait until all calls that have been made run: a later one is begun after them (C2)."""
    await trio.testing.wait_all_tasks_blocked()
    assert "last" == await echo.echo("last")


async def next_owner(events: trio.MemoryReceiveChannel[object], name: str) -> None:
    """Wait until a name gets an owner."""
    async for event in events:
        if isinstance(event, NameAdded) and event.name == name:
            return


async def test_sigkill_ends_every_call_at_once_and_the_same_id_comes_back_at_once(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.node() as node:
        (victim,) = await stage.start_all(node, 2)
        echo = node.ref("echo2", Echo)
        former = node.ref(await node.wait_for_name("echo2"), Echo)
        outcomes: Counter[str] = Counter()
        async with node.cluster.events() as events:
            with trio.fail_after(SOON):
                async with trio.open_nursery() as nursery:
                    for _ in range(CALLS):
                        nursery.start_soon(call_and_count, echo, outcomes)
                    await until_running(echo)
                    victim.process.send_signal(signal.SIGKILL)
                await stage.start(2)
                await next_owner(events, "echo2")
                await node.cluster.wait_connected(2)
        assert {"NodeDown, executed=None": CALLS} == outcomes
        assert "again" == await echo.echo("again")
        with pytest.raises(NodeDown, match="earlier incarnation") as caught:
            await former.echo("to the dead")
        assert caught.value.executed is False


async def test_without_a_master_calls_go_on_and_a_new_one_has_the_same_tables(tmp_path: Path) -> None:
    async with open_stage(tmp_path, standalone=False) as stage:
        standalone = f"--standalone={stage.master}"
        master = await stage.start(9, standalone)
        async with stage.node() as node:
            await stage.start_all(node, 2)
            await stage.linked(node, 9)
            owner = await node.wait_for_name("echo2")
            master.process.send_signal(signal.SIGKILL)
            with trio.fail_after(SOON):
                await node.cluster.wait_master_lost()
            echo = node.ref("echo2", Echo)
            assert [*range(CALLS)] == [await echo.echo(number) for number in range(CALLS)]

            started = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(start_newcomer, node, started)
                await until_running(echo)
                assert not started.is_set()
                assert "newcomer" not in node.names()
                async with node.cluster.events() as events:
                    with trio.fail_after(SOON):
                        await stage.start(9, standalone)
                        await next_owner(events, "echo9")
                        await started.wait()
                        await node.cluster.wait_connected(9)
            expected = ("echo2", "echo9", "newcomer")
            seen = [await node.ref(name, Echo).names(*expected) for name in ("echo2", "echo9")]
            assert [dict(node.names())] * 2 == seen
            assert owner == seen[0]["echo2"]


async def start_newcomer(node: Node, started: trio.Event) -> None:
    """Start a service under a new name."""
    await node.start(Echo, name="newcomer")
    started.set()


async def test_a_frozen_node_is_told_of_in_time_and_works_again_when_thawed(tmp_path: Path) -> None:
    async with open_stage(tmp_path, **SHORT) as stage, stage.node() as node:
        (frozen,) = await stage.start_all(node, 2)
        echo = node.ref("echo2", Echo)
        handle = await node.wait_for_name("echo2")
        outcomes: Counter[str] = Counter()
        async with node.cluster.events() as events:
            with trio.fail_after(SHORT["heartbeat_timeout"] + SOON):
                async with trio.open_nursery() as nursery:
                    for _ in range(CALLS):
                        nursery.start_soon(call_and_count, echo, outcomes)
                    await until_running(echo)
                    frozen.process.send_signal(signal.SIGSTOP)
                    began = trio.current_time()
                # What came last may have been under way for as long as nothing is sent.
                seconds = SHORT["heartbeat_timeout"] - SHORT["heartbeat"]
                assert trio.current_time() - began >= seconds
                await node.cluster.wait_disconnected(2)
                frozen.process.send_signal(signal.SIGCONT)
                await next_owner(events, "echo2")
                await node.cluster.wait_connected(2)
        assert {"NodeDown, executed=None": CALLS} == outcomes
        assert "again" == await echo.echo("again")
        assert "it never died" == await node.ref(handle, Echo).echo("it never died")
        await echo.wait_cancelled(CALLS)


async def test_one_harbor_id_has_one_node(tmp_path: Path) -> None:
    settings = SHORT | {"handshake_timeout": 4.0}
    async with open_stage(tmp_path, **settings) as stage, stage.node() as node:
        (first,) = await stage.start_all(node, 2)
        second = await stage.start(2)
        with trio.fail_after(SOON):
            code, text = await second.end()
        assert 1 == code
        assert "cluster.harbor: " in text
        assert "Traceback" not in text
        echo = node.ref("echo2", Echo)
        assert "unharmed" == await echo.echo("unharmed")

        first.process.send_signal(signal.SIGSTOP)
        async with node.cluster.events() as events:
            with trio.fail_after(2 * SOON):
                await stage.start(2)
                await next_owner(events, "echo2")
                await node.cluster.wait_connected(2)
        assert "a successor" == await echo.echo("a successor")

        first.process.send_signal(signal.SIGCONT)
        with trio.fail_after(SOON):
            code, text = await first.end()
        assert 1 == code
        assert "Traceback" not in text
        assert "still there" == await echo.echo("still there")
