"""A process that stood still, of a node with ``fence = "process"``: it executes nothing any more (C11)."""

from __future__ import annotations

import signal
import subprocess
import sys

import trio

from tests.ports import free_address
from trionet import ClusterConfig, Harbor, Service, open_node, spec

#: Seconds; the process is ended when it stood still for one and a half of it.
TIMEOUT = 1.0
#: Seconds that starting may take, on a machine that is busy with other things.
STARTED = 40.0


class Talker(Service):
    """Says something all the time."""

    async def setup(self) -> None:
        self.nursery.start_soon(self._talk)

    async def _talk(self) -> None:
        while True:
            print("x", flush=True)
            await trio.sleep(0.01)


async def talk(address: str) -> None:
    """Be a cluster of one node with an exclusive name."""
    config = ClusterConfig(
        harbor=1,
        standalone=address,
        heartbeat=0.1,
        heartbeat_timeout=TIMEOUT,
        fence="process",
    )
    async with open_node(network=Harbor(config)) as node:
        await node.start(spec(Talker), name="talker", exclusive=True)
        await node.serve_forever()


async def test_who_stood_still_for_too_long_is_ended_before_it_says_anything() -> None:
    """For less it goes on."""
    command = [sys.executable, "-m", "tests.processes.test_fence", free_address()]
    with trio.fail_after(STARTED):
        process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            await process.stdout.receive_some(1)
            for seconds, goes_on in ((TIMEOUT / 4, True), (2 * TIMEOUT, False)):
                process.send_signal(signal.SIGSTOP)
                await trio.sleep(seconds)
                with trio.move_on_after(0.1):  # what it has said before
                    while True:
                        await process.stdout.receive_some()
                process.send_signal(signal.SIGCONT)
                assert (await process.stdout.receive_some() != b"") == goes_on
            assert await process.wait() == -signal.SIGALRM
        finally:
            process.kill()
            await process.stdout.aclose()
            await process.wait()


if __name__ == "__main__":
    trio.run(talk, sys.argv[1])
