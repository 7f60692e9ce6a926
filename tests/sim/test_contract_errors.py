"""Every call ends (C4), isolation (C9) and dead letters (C5), within a node and across two."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.nodes import Echo
from tests.kernel.stage import Puppet, Stage, puppet
from tests.sim.places import REST, Placement, Places, everywhere, open_places
from trionet import (
    BadArguments,
    CallError,
    Deadlock,
    NodeConfig,
    NoSuchCommand,
    NoSuchService,
    RemoteError,
    Restart,
    Service,
    ServiceBusy,
    ServiceExited,
    ServiceRestarting,
    command,
    spec,
)
from trionet.net import sending
from trionet.testing import fail_service, open_cluster


async def ends_with(kind: type[CallError], executed: bool | None, call: Any, *args: Any) -> CallError:
    """Wait for the end of a call, which must be of that kind."""
    with pytest.raises(kind) as caught:
        await call(*args)
    assert type(caught.value) is kind
    assert caught.value.executed is executed
    return caught.value


@everywhere
async def test_c4_no_such_service(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        box = await places.start("storage")
        await places.here.wait_for_name("storage")
        error = await ends_with(NoSuchService, False, places.here.call, "storrage", "note", 1)
        assert str(error) == "nobody owns the name 'storrage'; did you mean 'storage'?"
        await places.there.kill(box)
        error = await ends_with(NoSuchService, False, box.note, "x")
        assert str(error).endswith(": it has ended, or never was")
        await ends_with(NoSuchService, False, places.here.call, f":{places.there.harbor:02x}000077", "note")


@everywhere
async def test_c4_no_such_command_and_bad_arguments(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        echo = await places.there.start(Echo)
        error = await ends_with(NoSuchCommand, False, places.here.call, echo, "ecco")
        assert str(error).endswith("(Echo) has no command 'ecco'; it has: count, echo, hand_out")
        assert isinstance(error, AttributeError)
        for args in ((), (1, 2)):
            bad = await ends_with(BadArguments, False, places.here.call, echo, "hand_out", *args)
            assert isinstance(bad, TypeError)


class Failing(Service):
    """Raises what it is told."""

    @command
    async def raise_value_error(self) -> None:
        raise ValueError("no")

    @command
    async def raise_group(self) -> None:
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])

    @command
    async def raise_without_text(self) -> None:
        raise LookupError

    @command
    async def relay(self, other: Failing) -> None:
        await other.raise_value_error()

    @command
    def ping(self) -> str:
        return "pong"


@everywhere
async def test_c4_remote_error_shows_both_halves(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        failing = places.from_here(await places.there.start(Failing))
        error = await ends_with(RemoteError, True, failing.raise_value_error)
        assert isinstance(error, RemoteError)
        assert (error.type_name, error.text) == ("ValueError", "no")
        assert "in raise_value_error" in error.traceback_text
        assert "in the service that was called" in str(error)
        error = await ends_with(RemoteError, True, failing.raise_group)
        assert "KeyError: 'two'" in str(error)
        error = await ends_with(RemoteError, True, failing.raise_without_text)
        assert str(error.args[0]) == "LookupError"


@everywhere
async def test_c4_errors_of_a_second_call_are_remote_errors_of_the_first(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        failing = places.from_here(await places.there.start(Failing))
        other = await places.here.start(Failing)
        error = await ends_with(RemoteError, True, failing.relay, other)
        assert str(error.args[0]).startswith("trionet.RemoteError: ValueError: no")
        assert "in raise_value_error" in str(error)


@everywhere
async def test_c9_a_handler_s_exception_fails_that_call_and_nothing_else(
    autojump_clock: MockClock, placement: Placement, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_places(placement) as places:
        failing = places.from_here(await places.there.start(Failing))
        await ends_with(RemoteError, True, failing.raise_value_error)
        await failing.raise_value_error.send()
        assert await failing.ping() == "pong"
        await trio.sleep(REST)
        assert "raise_value_error, sent to " in caplog.text


@everywhere
@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_c4_every_waiting_caller_is_told_at_once(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    """Running, queued, waiting for room, deferred: each ends, and says whether it had begun."""
    config = NodeConfig(stop_grace=5)
    async with open_places(placement, config, window_messages=4) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1)
        ends: list[tuple[str, bool | None, float]] = []

        async def call(name: str, key: str) -> None:
            try:
                await places.here.call(box, name, key)
            except ServiceExited as error:
                ends.append((key, error.executed, round(trio.current_time() - began, 1)))
            except NoSuchService as error:  # it stood in the line, before the window of a remote service
                ends.append((key, error.executed, round(trio.current_time() - began, 1)))

        for name, key in [("later", "deferred"), ("hold", "running"), *[("hold", "x")] * 6]:
            nursery.start_soon(call, name, key)
            await trio.sleep(REST)
        began = trio.current_time()
        await end(places, box, how)
        await trio.sleep(REST)
        grace = 5.0 if how == "stop" else 0.0
        assert sorted(ends) == [("deferred", True, grace), ("running", True, grace), *[("x", False, 0.0)] * 6]
        places.stage.kept.clear()


async def end(places: Places, box: Service, how: str) -> None:
    """End a service that is there, from here."""
    if how == "fail":
        await fail_service(places.there, box, LookupError("broken"))
    else:
        await getattr(places.here, how)(box)


@everywhere
async def test_c4_a_service_that_is_ending_takes_no_call(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start()
        await places.begin(nursery, lambda: box.hold("a"))
        nursery.start_soon(places.here.stop, box)
        await trio.sleep(REST)
        error = await ends_with(ServiceExited, False, box.note, "x")
        assert str(error).endswith("(Puppet) is ending")
        places.stage.open("a")


@everywhere
async def test_c4_service_busy(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1, overflow="reject")
        await places.begin(nursery, lambda: box.hold("a"))
        await places.begin(nursery, lambda: box.note("b"))
        error = await ends_with(ServiceBusy, False, box.note, "c")
        assert str(error).endswith("(Puppet) is full (1 messages)")
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends", "b"]


@everywhere
async def test_c4_a_call_by_name_while_its_service_restarts_was_not_executed(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """Another node knows only that the former self is gone."""
    async with open_places(placement) as places:
        box = await places.there.start(spec(Failing), name="box", restart=Restart(delay=3))
        await places.here.wait_for_name("box")
        await fail_service(places.there, box, LookupError("broken"))
        kind = ServiceRestarting if placement == "local" else NoSuchService
        await ends_with(kind, False, places.here.call, "box", "ping")
        await trio.sleep(4)
        assert await places.here.call("box", "ping") == "pong"


@everywhere
async def test_c7_a_circle_on_the_other_node_raises_deadlock_there(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        one = await places.start(concurrency=1)
        two = await places.start(concurrency=1)
        with pytest.raises(RemoteError) as caught:
            await one.relay(two, "relay", one, "note", "x")
        assert f"trionet.{Deadlock.__name__}: services wait on each other: note of :" in str(caught.value)


# --- dead letters -------------------------------------------------------------------------------------


def letters_of(channel: trio.MemoryReceiveChannel[Any]) -> list[Any]:
    letters = []
    while channel.statistics().current_buffer_used:
        letters.append(channel.receive_nowait())
    return letters


@everywhere
@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_c5_what_a_service_leaves_unhandled_is_a_dead_letter_of_the_sender(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    """In the inbox and before it, in order; who waited for room goes on at once."""
    config = NodeConfig(stop_grace=1)
    async with open_places(placement, config, window_messages=3) as places:
        box = await places.start(concurrency=1, inbox=1)
        await box.hold.send("gate")
        async with places.here.dead_letters.subscribe() as channel, trio.open_nursery() as nursery:
            senders = [
                await places.begin(nursery, lambda word=word: box.note.send(word))  # type: ignore[misc]
                for word in "abcdef"
            ]
            await end(places, box, how)
            await trio.sleep(REST)
            assert {sender.end for sender in senders} == {"value None"}
            letters = letters_of(channel)
            assert len(letters) == places.here.dead_letters.count == 6
            assert [letter.command for letter in letters] == ["note"] * 6
            if placement == "local":
                assert [letter.args[0] for letter in letters] == list("abcdef")
        assert places.there.dead_letters.count == (6 if placement == "local" else 0)


@everywhere
async def test_c5_a_send_to_nobody(
    autojump_clock: MockClock, placement: Placement, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_places(placement) as places:
        sender = await places.start_here()
        box = await places.start()
        await places.there.kill(box)
        async with places.here.dead_letters.subscribe() as channel:
            await box.note.send("x")
            box.note.send_nowait("y")
            await sender.pass_on(box, "note", "z")
            await trio.sleep(REST)
            letters = letters_of(channel)
        assert [letter.reason.rpartition(":")[2] for letter in letters] == [" it has ended, or never was"] * 3
        assert [letter.source for letter in letters] == [None, None, places.here.services()[0]]
        assert "dead letter: note from the node to " in caplog.text


async def test_c5_reports_that_cannot_go_are_logged(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They wait for room like all messages, but only so many, and not longer than the link lasts."""
    monkeypatch.setattr(sending, "MOST_REPORTS", 2)
    async with open_places("remote", window_messages=1) as places:
        assert places.cluster is not None
        box = await places.start(concurrency=1)
        await box.hold.send("gate")
        await trio.sleep(REST)
        await box.note.send("late")
        ended = [await places.start() for _ in range(5)]
        for each in ended:
            await places.there.kill(each)
        places.cluster.latency = 1.0
        for number, each in enumerate(ended):
            await each.note.send(str(number))
        await trio.sleep(2)
        places.cluster.partition({1}, {2})
        await trio.sleep(100)
        await places.there.kill(box)
        told = [each.getMessage() for each in caplog.records if each.name == "trionet.link"]
        reasons = [
            text.rpartition(" (")[2] for text in told if text.startswith("dead letter of service 0 of ")
        ]
        silent = "the link to harbor 1 ended: nothing came from the peer for 20.0 seconds)"
        assert reasons == ["the other node takes no more reports)"] * 2 + [silent] * 2 + [
            "the link has ended)"
        ]
        places.cluster.heal()


@everywhere
async def test_c5_a_send_that_arrives_is_none(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        box = await places.start()
        for word in "abc":
            await box.note.send(word)
        assert await places.rest() == list("abc")
        await trio.sleep(30)
        assert places.here.dead_letters.count == places.there.dead_letters.count == 0


async def test_c5_the_last_send_of_a_node_that_stops_is_none(autojump_clock: MockClock) -> None:
    """Its link ends only when the other node has acknowledged it."""
    async with open_cluster(2) as cluster:
        stage = Stage()
        here = cluster[2]
        box = here.ref(await cluster[1].start(spec(puppet(), stage)), Puppet)
        await box.note.send("last")
        await cluster.stop(2)
        assert stage.log == ["last"]
        assert here.dead_letters.count == 0
