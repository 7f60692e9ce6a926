"""A process that stood still: with the default of ``cluster.fence`` it executes nothing any more (C11)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack

import trio

from tests.ports import free_address
from trionet import ClusterConfig, Harbor, Node, Service, open_node, spec

#: Seconds; the process is ended when it stood still for one and a half of it.
TIMEOUT = 2.0
#: Seconds that starting may take, on a machine that is busy with other things.
STARTED = 40.0
#: Seconds without a word after which nothing more is expected.
SILENCE = 0.25
#: What else the process does, and whether it is ended: not where something in it uses SIGALRM.
ENDS = {"nothing": True, "another node": True, "a handler": False, "a timer": False}


class Talker(Service):
    """Says something all the time, mostly in the middle of a step."""

    async def setup(self) -> None:
        self.nursery.start_soon(self._talk)

    async def _talk(self) -> None:
        while True:
            await trio.sleep(0.001)
            for _ in range(10):
                print("x", flush=True)
                time.sleep(0.001)  # noqa: ASYNC251 - a step that takes its time


async def be_cluster(address: str, case: str) -> None:
    """Be a cluster in one process, with an exclusive name."""

    async def open_one(harbor: int) -> Node:
        standalone = address if harbor == 1 else None
        config = ClusterConfig(
            harbor=harbor, master=address, standalone=standalone, heartbeat=0.1, heartbeat_timeout=TIMEOUT
        )
        return await stack.enter_async_context(open_node(network=Harbor(config)))

    async with AsyncExitStack() as stack:
        node = await open_one(1)
        if case == "another node":  # and the first one gives its name up
            other = await open_one(2)
            await other.start(spec(Talker), name="talker", exclusive=True)
            await node.start(spec(Service), name="silent", exclusive=True)
            await node.stop("silent")
        else:
            await node.start(spec(Talker), name="talker", exclusive=True)
        if case == "a handler":
            signal.signal(signal.SIGALRM, lambda *_: None)
        elif case == "a timer":
            signal.alarm(1000)
        await node.serve_forever()


async def said(stream: trio.abc.ReceiveStream) -> bytes:
    """All that comes until there is silence."""
    text = b""
    while True:
        with trio.move_on_after(SILENCE):
            more = await stream.receive_some()
            text += more
            if more:
                continue
        return text


async def freeze(case: str) -> None:
    """Stop a process for a moment, and then for too long."""
    command = [sys.executable, "-m", "tests.processes.test_fence", free_address(), case]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        await process.stdout.receive_some(1)
        await trio.sleep(TIMEOUT / 4)  # the lease is renewed meanwhile, and SIGALRM looked at
        process.send_signal(signal.SIGSTOP)
        await said(process.stdout)
        process.send_signal(signal.SIGCONT)
        assert await process.stdout.receive_some(1), case

        process.send_signal(signal.SIGSTOP)
        await said(process.stdout)
        await trio.sleep(1.5 * TIMEOUT)
        process.send_signal(signal.SIGCONT)
        text = await said(process.stdout)
        if ENDS[case]:
            assert (await process.wait(), text) == (-signal.SIGALRM, b""), case
        else:
            assert (process.poll(), len(text) <= 2 * 10) == (None, True), case
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.stdout.aclose()


async def test_who_stood_still_for_too_long_is_ended_before_it_says_anything() -> None:
    """For less it goes on.  Where SIGALRM has another use it ends its step, and its service is gone."""
    with trio.fail_after(STARTED):
        async with trio.open_nursery() as nursery:
            for case in ENDS:
                nursery.start_soon(freeze, case)


if __name__ == "__main__":
    trio.run(be_cluster, sys.argv[1], sys.argv[2])
