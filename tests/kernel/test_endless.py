"""Commands that are endless: when their service stops in order they do not take the grace time (C8)."""

from __future__ import annotations

import pytest
import trio

from trionet import Node, Service, ServiceExited, command


class Patient(Service):
    """Waits for what never comes."""

    @command(endless=True)
    async def wait(self) -> None:
        await trio.sleep_forever()

    @command
    async def work(self) -> str:
        await trio.sleep(3)
        return "done"


async def test_endless_commands_end_at_once_and_others_finish(node: Node) -> None:
    patient = await node.start(Patient)
    ends: dict[str, object] = {}

    async def wait() -> None:
        with pytest.raises(ServiceExited, match="ended while it handled wait") as caught:
            await patient.wait()
        ends["wait"] = trio.current_time(), caught.value.executed

    async def work() -> None:
        ends["work"] = await patient.work(), trio.current_time()

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(wait)
        nursery.start_soon(work)
        await trio.sleep(1)
        await node.stop(patient)
    assert ends == {"wait": (began + 1, True), "work": ("done", began + 3)}
    assert Patient.wait.endless
    assert not Patient.work.endless
