"""Real processes that are killed and frozen: how each call ends, how soon, and when all works again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.benchmarks.child import MISSED, Echo, cluster_config
from trionet import CallError, Harbor, Node, NodeConfig, open_node

MASTER = "127.0.0.1:20139"
CALLS = 100
#: Seconds; short, so that a frozen node is noticed while somebody looks.
HEARTBEAT = 1.0


def spawn(harbor: int, heartbeat: float, standalone: str | None = None) -> subprocess.Popen[bytes]:
    """Start one node as a child process."""
    words = [sys.executable, "-m", "tests.benchmarks.child", str(harbor), MASTER, str(heartbeat)]
    return subprocess.Popen(words + ([standalone] if standalone else []), stdout=subprocess.DEVNULL)


class Children:
    """The child processes by harbor id; harbor 9 has the master."""

    def __init__(self) -> None:
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, harbor: int) -> None:
        """Start a node."""
        self.running[harbor] = spawn(harbor, HEARTBEAT, MASTER if harbor == 9 else None)

    def signal(self, harbor: int, number: signal.Signals) -> None:
        """Send a signal to a node; a killed one is reaped."""
        self.running[harbor].send_signal(number)
        if number is signal.SIGKILL:
            self.running[harbor].wait()

    def end(self) -> None:
        """Kill all."""
        for child in self.running.values():
            child.kill()
            child.wait()


@asynccontextmanager
async def open_stage(*harbors: int) -> AsyncIterator[tuple[Node, Children]]:
    """Start nodes as child processes, the master's first, and join them as harbor 1."""
    children = Children()
    try:
        for harbor in harbors:
            children.start(harbor)
        network = Harbor(cluster_config(1, MASTER, HEARTBEAT, None))
        async with open_node(NodeConfig(name="node1"), network=network) as node:
            for harbor in harbors:
                await node.wait_for_name(f"echo{harbor}")
                await node.cluster.wait_connected(harbor)
            yield node, children
    finally:
        children.end()


async def calls_interrupted(node: Node, children: Children, harbor: int, number: signal.Signals) -> list[str]:
    """Send a signal in the middle of concurrent calls; returns how they ended, and how soon."""
    echo = node.ref(f"echo{harbor}", Echo)
    outcomes: Counter[str] = Counter()
    ends: list[float] = []

    async def call() -> None:
        try:
            await echo.slow(60.0)
            outcomes["returned"] += 1
        except CallError as error:
            outcomes[f"{type(error).__name__}(executed={error.executed})"] += 1
        ends.append(time.monotonic())

    async with trio.open_nursery() as nursery:
        for _ in range(CALLS):
            nursery.start_soon(call)
        await trio.sleep(0.5)
        began = time.monotonic()
        children.signal(harbor, number)
    text = ", ".join(f"{count} x {what}" for what, count in outcomes.items())
    first, last = min(ends) - began, max(ends) - began
    what = f"{number.name} to node {harbor} in the middle of {CALLS} calls"
    return [f"{what}: {text}; after {first:.3f} to {last:.3f} s"]


async def works_again(node: Node, harbor: int, what: str) -> str:
    """Wait until a call by name succeeds."""
    began = time.monotonic()
    echo = node.ref(f"echo{harbor}", Echo)
    while True:
        try:
            await echo.echo("again")
            break
        except CallError:
            await trio.sleep(0.01)
    return (
        f"{what}: calls by name work after {time.monotonic() - began:.2f} s (start of the process included)"
    )


async def kill_and_freeze() -> list[str]:
    """Kill a node, then the master; freeze a node, and thaw it."""
    async with open_stage(9, 2, 3) as (node, children):
        lines = await calls_interrupted(node, children, 2, signal.SIGKILL)
        children.start(2)
        lines.append(await works_again(node, 2, "node 2 started again with the same harbor id"))
        children.signal(9, signal.SIGKILL)
        began = time.monotonic()
        await node.cluster.wait_master_lost()
        lines.append(f"SIGKILL to the master: noticed after {time.monotonic() - began:.3f} s")
        echo = node.ref("echo2", Echo)
        began = time.monotonic()
        for number in range(CALLS):
            assert await echo.echo(number) == number
        lines.append(
            f"without a master: {CALLS} calls by name returned, {time.monotonic() - began:.3f} s for all"
        )
        began = time.monotonic()
        children.start(9)
        await node.start(Echo, name="newcomer")
        lines.append(
            f"master started again: a new name was registered after {time.monotonic() - began:.2f} s"
        )
        names = sorted(node.names())
        lines.append(f"names known then: {', '.join(names)}")
        lines += await calls_interrupted(node, children, 2, signal.SIGSTOP)
        lines[-1] += f" (heartbeat timeout {MISSED * HEARTBEAT:g} s)"
        children.signal(2, signal.SIGCONT)
        lines.append(await works_again(node, 2, "SIGCONT to node 2"))
    return lines


async def cancel_across() -> list[str]:
    """Cancel a caller on node 1 whose call runs on node 3 by way of node 2."""
    lines = []
    async with open_stage(9, 2, 3) as (node, _):
        via, end = node.ref("echo2", Echo), node.ref("echo3", Echo)
        for what, seconds in (("cancelled", None), ("out of time", 0.5)):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(via.slow_via, end, 60.0)
                    if seconds is None:
                        await trio.sleep(0.5)
                        began = time.monotonic()
                    else:
                        began = time.monotonic() + seconds
                        scope.deadline = trio.current_time() + seconds
                        await trio.sleep_forever()
                    scope.cancel()
            returned = time.monotonic()
            seen = await end.cancelled_at()
            lines.append(
                f"caller on node 1 {what}: "
                f"the handler on node 3 saw it {1000 * (seen - began):.1f} ms later, "
                f"the caller was back after {1000 * (returned - began):.1f} ms"
            )
    return lines
