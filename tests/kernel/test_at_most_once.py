"""A message is delivered once or not at all (C3); what is not delivered is told (C4, C5)."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Puppet, Stage, actor_of, begin, opened, start
from trionet import NodeDown, NoSuchService, RemoteError, Restart, ServiceExited, command, spec


async def test_c3_each_message_is_handled_once(autojump_clock: MockClock) -> None:
    """Many callers, few slots, little room: whatever way a message takes, it arrives once."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage, concurrency=3, inbox=2)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(box.note, f"call {number}")
                nursery.start_soon(box.note.send, f"send {number}")
        counts = Counter(await stage.settle(node))
        assert len(counts) == 200
        assert set(counts.values()) == {1}
        assert node.dead_letters.count == 0


@pytest.mark.parametrize("name", ["fail", "hold"])
async def test_c3_a_call_that_failed_is_not_made_again(autojump_clock: MockClock, name: str) -> None:
    stage = Stage()
    async with opened(call_deadline=1) as node:
        box = await start(node, stage)
        with pytest.raises((RemoteError, trio.TooSlowError)):
            await node.call(box, name, "x")
        await trio.sleep(100)
        assert actor_of(node, box).messages == 1


async def test_c3_a_send_that_failed_is_not_made_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it: the log has it, and it is no dead letter, for it was handled."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        await box.fail.send("in vain")
        await trio.sleep(100)
        assert actor_of(node, box).messages == 1
        assert node.dead_letters.count == 0
        assert "fail, sent to :00000001 (Puppet), failed" in caplog.text
        assert "ValueError: in vain" in caplog.text


async def test_c3_handled_or_told_when_the_service_is_killed(autojump_clock: MockClock) -> None:
    """In every place in which a message can be: handled, or an error or dead letter; never both."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=2)
        running = await begin(nursery, lambda: box.hold("running"))
        queued = await begin(nursery, lambda: box.note("queued"))
        await box.note.send("queued send")
        in_line = await begin(nursery, lambda: box.note("in line"))
        sender = await begin(nursery, lambda: box.note.send("send in line"))
        async with node.dead_letters.subscribe() as letters:
            await node.kill(box)
            await wait_all_tasks_blocked()
            assert [letters.receive_nowait().args for _ in range(2)] == [("queued send",), ("send in line",)]
        assert await stage.settle(node) == ["running begins", "running cancelled"]
        who = "ServiceExited: :00000001 (Puppet) ended"
        assert running.end == f"{who} while it handled hold"
        assert [queued.end, in_line.end] == [f"{who} before it handled the message"] * 2
        assert sender.end == "value None"
        assert node.dead_letters.count == 2


async def test_c3_who_was_not_reached_certainly_did_not_start(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        actor = actor_of(node, box)
        await node.kill(box)
        with pytest.raises(NoSuchService) as caught:
            await box.note("x")
        assert caught.value.executed is False
        with pytest.raises(NodeDown) as down:
            await node.ref(":05000001").note("x")
        assert down.value.executed is False
        await box.note.send("x")
        box.note.send_nowait("x")
        assert node.dead_letters.count == 2
        assert actor.messages == 0


async def test_c3_who_was_reached_may_have_started(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        executed: list[tuple[str, bool | None]] = []

        async def call(key: str) -> None:
            with pytest.raises(ServiceExited) as caught:
                await box.hold(key)
            executed.append((key, caught.value.executed))

        nursery.start_soon(call, "a")
        await wait_all_tasks_blocked()
        nursery.start_soon(call, "b")
        await wait_all_tasks_blocked()
        await node.kill(box)
        await wait_all_tasks_blocked()
        assert sorted(executed) == [("a", True), ("b", False)]


async def test_c3_a_restarted_service_does_not_get_what_its_former_self_missed(
    autojump_clock: MockClock,
) -> None:
    class Fragile(Puppet, concurrency=1):
        @command
        async def crash(self, key: str) -> None:
            await self.stage.gate(key).wait()

            async def crash() -> None:
                raise ValueError("crash")

            self.nursery.start_soon(crash)

    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await node.start(spec(Fragile, stage), name=".box", restart=Restart(delay=1))
        await begin(nursery, lambda: node.call(".box", "crash", "gate"))
        missed = await begin(nursery, lambda: node.call(".box", "hold", "missed"))
        stage.open("gate")
        await wait_all_tasks_blocked()
        assert missed.end.startswith("ServiceExited")
        await trio.sleep(2)
        assert await node.call(".box", "note", "new") == "new"
        log = await stage.settle(node)
        assert log[-1] == "new"
        assert "missed ends" not in log
