"""C5: a send that did not arrive is counted, logged within a rate, and offered to subscribers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.nodes import Echo, fresh_node, instance_of
from trionet import (
    BadMessage,
    DeadLetter,
    Handle,
    Node,
    Restart,
    Service,
    ServiceBusy,
    command,
)
from trionet.kernel.dead_letters import SUBSCRIBER_BUFFER
from trionet.kernel.reference import target_of
from trionet.testing import fail_service

pytestmark = pytest.mark.usefixtures("virtual_run")


class Narrow(Service, concurrency=1, inbox=2):
    """Has room for two, and a handler that does not end by itself."""

    def __init__(self) -> None:
        self.handled: list[int] = []

    @command
    async def block(self) -> None:
        await trio.sleep_forever()

    @command
    async def note(self, number: int) -> None:
        self.handled.append(number)


class Narrower(Narrow, overflow="reject"):
    """Rejects what finds no room."""


class Sender(Service):
    """Sends for others."""

    @command
    async def forward(self, target: Any, name: str, *args: Any) -> None:
        await self.send(target, name, *args)


def letters_of(channel: trio.MemoryReceiveChannel[DeadLetter]) -> list[DeadLetter]:
    """What lies in a subscription right now."""
    letters = []
    while True:
        try:
            letters.append(channel.receive_nowait())
        except trio.WouldBlock:
            return letters


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of dead letters."""
    return [each.getMessage() for each in caplog.records if each.name == "trionet.dead_letters"]


# --- what becomes one -------------------------------------------------------------------------------


async def test_c5_a_send_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown name, dead handle, another incarnation, another node; by ``send`` and ``send_nowait``."""
    async with fresh_node() as node, node.dead_letters.subscribe() as channel:
        echo = await node.start(Echo)
        await node.stop(echo)
        dead = target_of(echo)
        old, there = Handle(1, node.incarnation ^ 1), Handle(0x03000001, 7)
        reasons = {
            ".nobody": "nobody owns the name '.nobody'",
            dead: "no service at :00000001: it has ended, or never was",
            old: ":00000001 is of an earlier incarnation of this node, or of another node without a cluster",
            there: ":03000001 is on another node, and this one has no network (harbor id 0)",
            ":05000001": "harbor 5 is on another node, and this one has no network (harbor id 0)",
        }
        for target in reasons:
            await node.send(target, "echo", 1, x=[2])
            node.send_nowait(target, Echo.echo, 1, x=[2])
        expected = [
            DeadLetter(None, target, "echo", (1,), {"x": [2]}, reason)
            for target, reason in reasons.items()
            for _ in range(2)
        ]
        assert letters_of(channel) == expected
        assert node.dead_letters.count == node.statistics().dead_letters == 10
        assert node.dead_letters.by_target == {str(target): 2 for target in reasons if target != old} | {
            ":00000001": 4
        }
    assert lines(caplog)[0] == "dead letter: echo from the node to .nobody: nobody owns the name '.nobody'"
    assert len(lines(caplog)) == 10


async def test_c5_the_source_is_told() -> None:
    """A dead letter of a service carries its handle."""
    async with fresh_node() as node, node.dead_letters.subscribe() as channel:
        sender = await node.start(Sender)
        await sender.forward(".nobody", "note", 1)
        (letter,) = letters_of(channel)
        assert letter.source == target_of(sender)


@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_c5_what_a_service_leaves_unhandled(how: str) -> None:
    """In the inbox and before it, in order; who waited for room goes on at once."""
    async with fresh_node(stop_grace=1) as node, node.dead_letters.subscribe() as channel:
        narrow = await node.start(Narrow)
        await narrow.block.send()
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(narrow.note.send, number)
                await wait_all_tasks_blocked()
            assert node.service_statistics(narrow).waiting_senders == 2
            if how == "fail":
                await fail_service(node, narrow, LookupError("broken"))
            else:
                await getattr(node, how)(narrow)
        letters = letters_of(channel)
        assert [letter.args[0] for letter in letters] == [0, 1, 2, 3]
        assert {letter.target for letter in letters} == {target_of(narrow)}
        assert {letter.reason for letter in letters} == {
            ":00000001 (Narrow) ended before it handled the message"
        }


async def test_c5_a_send_to_a_service_that_is_ending() -> None:
    """By handle, and by a name that is kept for a restart."""
    async with fresh_node() as node, trio.open_nursery() as nursery, node.dead_letters.subscribe() as channel:
        narrow = await node.start(Narrow)
        await narrow.block.send()
        await wait_all_tasks_blocked()
        nursery.start_soon(node.stop, narrow)
        await wait_all_tasks_blocked()
        await narrow.note.send(1)
        narrow.note.send_nowait(2)
        kept = await node.start(Narrow, name=".kept", restart=Restart(delay=5))
        await fail_service(node, kept, LookupError("broken"))
        await node.send(".kept", "note", 3)
        assert [(letter.args[0], letter.reason) for letter in letters_of(channel)] == [
            (1, ":00000001 (Narrow) is ending"),
            (2, ":00000001 (Narrow) is ending"),
            (3, "the service named '.kept' is about to be restarted"),
        ]


# --- what does not ----------------------------------------------------------------------------------


async def test_c5_what_the_sender_is_told_is_no_dead_letter() -> None:
    """No room, no value, cancelled while it waits: the sender knows."""
    async with fresh_node() as node:
        narrow, narrower = await node.start(Narrow), await node.start(Narrower)
        for each in (narrow, narrower):
            await each.block.send()
            await wait_all_tasks_blocked()
            await each.note.send(1)
            await each.note.send(2)
        with pytest.raises(trio.WouldBlock):
            narrow.note.send_nowait(3)
        with pytest.raises(ServiceBusy):
            await narrower.note.send(3)
        with pytest.raises(BadMessage):
            await node.send(narrow, "note", object())
        with trio.move_on_after(1) as scope:
            await narrow.note.send(4)
        assert scope.cancelled_caught
        assert node.service_statistics(narrow).waiting_senders == 0
        assert node.dead_letters.count == 0
        await node.kill(narrow)
        assert node.dead_letters.count == 2


async def test_c5_calls_are_no_dead_letters() -> None:
    """Their callers are told."""
    async with fresh_node() as node:
        narrow = await node.start(Narrow)
        with pytest.raises(trio.TooSlowError):
            await narrow.block.options(deadline=1)()
        await node.stop(narrow)
        assert node.dead_letters.count == 0


async def test_c5_a_send_that_arrives_is_none() -> None:
    """Also the one that a service sends to itself without room."""

    class Selfish(Service, inbox=1, concurrency=1):
        def __init__(self) -> None:
            self.handled: list[int] = []

        @command
        async def note(self, number: int) -> None:
            self.handled.append(number)

        @command
        async def send_many(self) -> None:
            for number in range(5):
                await self.note.send(number)
                self.note.send_nowait(-number)

    async with fresh_node() as node:
        selfish = await node.start(Selfish)
        await selfish.send_many()
        await wait_all_tasks_blocked()
        assert instance_of(node, selfish).handled == [0, 0, 1, -1, 2, -2, 3, -3, 4, -4]
        assert node.dead_letters.count == 0


# --- counted, logged, offered -----------------------------------------------------------------------


async def send_to_nobody(node: Node, times: int) -> None:
    """Make dead letters within one second."""
    for number in range(times):
        await node.send(".nobody", "note", number)


async def test_c5_the_log_has_a_rate(caplog: pytest.LogCaptureFixture) -> None:
    """So many a second; the others are counted, and the next line tells how many there were."""
    async with fresh_node(dead_letter_log_rate=3) as node:
        await trio.sleep(1 - trio.current_time() % 1)
        await send_to_nobody(node, 10)
        assert len(lines(caplog)) == 3
        await trio.sleep(1)
        await send_to_nobody(node, 2)
        assert len(lines(caplog)) == 6
        assert lines(caplog)[3] == "7 more dead letters were not logged"
        await trio.sleep(1)
        await send_to_nobody(node, 1)
        assert len(lines(caplog)) == 7
        assert node.dead_letters.count == 13
    assert {each.levelno for each in caplog.records if each.name == "trionet.dead_letters"} == {
        logging.WARNING
    }


async def test_c5_what_the_log_did_not_tell_is_told_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Also where no later dead letter gives the occasion."""
    async with fresh_node(dead_letter_log_rate=3) as node:
        await send_to_nobody(node, 5)
    assert lines(caplog)[-1] == "2 more dead letters were not logged"


async def test_c5_targets_are_counted_up_to_a_limit() -> None:
    """A thousand of them; more are only counted as a whole."""
    async with fresh_node() as node:
        for number in range(1002):
            node.send_nowait(f".nobody{number}", "note")
        node.send_nowait(".nobody7", "note")
        assert node.dead_letters.count == 1003
        assert len(node.dead_letters.by_target) == 1000
        assert node.dead_letters.by_target[".nobody7"] == 2
        assert node.dead_letters.by_target.most_common(1) == [(".nobody7", 2)]


async def test_c5_every_subscriber_sees_all_from_then_on() -> None:
    """Leaving the block leaves nothing behind."""
    async with fresh_node() as node:
        await send_to_nobody(node, 1)
        async with node.dead_letters.subscribe() as one:
            await send_to_nobody(node, 1)
            async with node.dead_letters.subscribe() as two:
                await send_to_nobody(node, 1)
                assert len(letters_of(one)) == 2
                assert len(letters_of(two)) == 1
            await send_to_nobody(node, 1)
            assert len(letters_of(one)) == 1
            with pytest.raises(trio.ClosedResourceError):
                two.receive_nowait()
        assert node.dead_letters.count == 4


async def test_c5_a_subscriber_that_lags_misses_the_newest() -> None:
    """It holds up nobody, and sees by the count that it missed some."""
    async with fresh_node(dead_letter_log_rate=1) as node, node.dead_letters.subscribe() as channel:
        await send_to_nobody(node, SUBSCRIBER_BUFFER + 5)
        letters = letters_of(channel)
        assert [letter.args[0] for letter in letters] == list(range(SUBSCRIBER_BUFFER))
        assert node.dead_letters.count == SUBSCRIBER_BUFFER + 5
        await send_to_nobody(node, 1)
        assert len(letters_of(channel)) == 1


async def test_c5_a_subscriber_that_has_had_enough_harms_nobody() -> None:
    """It may close its end before it leaves the block."""
    async with fresh_node() as node:
        async with node.dead_letters.subscribe() as one, node.dead_letters.subscribe() as two:
            await one.aclose()
            narrow = await node.start(Narrow)
            await narrow.block.send()
            await wait_all_tasks_blocked()
            await narrow.note.send(1)
            await node.kill(narrow)
            await send_to_nobody(node, 1)
            assert len(letters_of(two)) == 2
        assert node.dead_letters.count == 2


async def test_c5_a_subscriber_waits_for_the_next() -> None:
    """It is a stream like any other."""
    async with fresh_node() as node, trio.open_nursery() as nursery, node.dead_letters.subscribe() as channel:
        nursery.start_soon(send_to_nobody, node, 3)
        seen = [(await channel.receive()).args[0] for _ in range(3)]
        assert seen == [0, 1, 2]


async def test_c5_dead_letters_hold_what_was_sent() -> None:
    """The values as they were when they were handed over."""
    async with fresh_node() as node, node.dead_letters.subscribe() as channel:
        item: list[Any] = [1]
        await node.send(".nobody", "note", item)
        item.append(2)
        (letter,) = letters_of(channel)
        assert letter.args == ([1],)
