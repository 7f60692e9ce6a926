"""C4: every call ends, with a value or a named error that says whether the handler was executed."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trionet
from tests.kernel.nodes import Echo, assert_nothing_lost, fresh_node, instance_of
from tests.values_table import Broke
from trionet import (
    BadArguments,
    CallError,
    DeadlineExceeded,
    Deadlock,
    NameTaken,
    Node,
    NodeStopping,
    NoReply,
    NoSuchCommand,
    NoSuchService,
    RemoteError,
    Reply,
    Restart,
    Service,
    ServiceBusy,
    ServiceExited,
    ServiceRestarting,
    StartFailed,
    TrionetError,
    command,
    defer,
    spec,
)
from trionet.errors import text_of
from trionet.kernel.reference import target_of
from trionet.testing import fail_service

pytestmark = pytest.mark.usefixtures("virtual_run")


class Slow(Service):
    """Handlers that take as long as one likes."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.replies: list[Reply] = []

    @command
    async def sleep(self, seconds: float) -> str:
        self.begun += 1
        try:
            await trio.sleep(seconds)
        finally:
            self.ended += 1
        return "slept"

    @command(shielded=True)
    async def sleep_on(self, seconds: float) -> str:
        return await self.sleep(seconds)

    @command
    async def keep_reply(self) -> None:
        self.replies.append(defer())

    @command
    async def drop_reply(self) -> None:
        defer()

    @command
    async def fail(self, text: str) -> None:
        raise LookupError(text)

    @command
    def fail_plainly(self, text: str) -> None:
        raise LookupError(text)

    @command
    async def fail_declared(self, owner: str) -> None:
        try:
            raise LookupError("the cause")
        except LookupError as error:
            raise Broke(owner, 1) from error

    @command
    async def pass_on(self, target: Any, name: str, *args: Any) -> Any:
        return await self.call(target, name, *args)

    @command
    async def in_a_group(self, target: Any, name: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.call, target, name)
            nursery.start_soon(trio.sleep_forever)


class OneAtATime(Slow, concurrency=1, inbox=1):
    """Strictly serial, with an inbox for one message."""


class Rejecting(Slow, concurrency=1, inbox=1, overflow="reject"):
    """Does not let anybody wait for room."""


async def ends_with(kind: type[CallError], executed: bool | None, call: Any, *args: Any) -> CallError:
    """Wait for the end of a call, which must be of that kind."""
    with pytest.raises(kind) as caught:
        await call(*args)
    assert type(caught.value) is kind
    assert caught.value.executed is executed
    assert isinstance(caught.value, TrionetError)
    return caught.value


async def occupy(node: Node, nursery: trio.Nursery, slow: Slow, times: int = 1) -> None:
    """Let handlers of a service run for ever, as far as it has slots and room."""
    for _ in range(times):
        nursery.start_soon(slow.sleep, 10_000)
        await wait_all_tasks_blocked()


# --- nobody there -----------------------------------------------------------------------------------


async def test_c4_no_such_service() -> None:
    """A name of nobody, with the name that was meant; a handle of the dead; a number never used."""
    async with fresh_node() as node:
        echo = await node.start(Echo, name=".storage")
        error = await ends_with(NoSuchService, False, node.call, ".storrage", "echo")
        assert str(error) == "nobody owns the name '.storrage'; did you mean '.storage'?"
        error = await ends_with(NoSuchService, False, node.call, "else", "echo")
        assert str(error) == "nobody owns the name 'else'"
        await ends_with(NoSuchService, False, node.call, ":77", "echo")
        await node.kill(echo)
        await ends_with(NoSuchService, False, echo.echo, 1)
        await ends_with(NoSuchService, False, node.call, ".storage", "echo")


async def test_c4_no_such_command() -> None:
    """The text lists what there is; it is an AttributeError too."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        bare = await node.start(Service)
        error = await ends_with(NoSuchCommand, False, node.call, echo, "ecco")
        assert str(error) == ":00000001 (Echo) has no command 'ecco'; it has: count, echo, hand_out"
        assert isinstance(error, AttributeError)
        error = await ends_with(NoSuchCommand, False, node.call, bare, "echo")
        assert str(error).endswith("it has: none")


@pytest.mark.parametrize("name", ["sleep", "fail_plainly"], ids=["async-def", "def"])
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2), {}), ((), {"minutes": 1}), ((1,), {"self": 2}), ((1,), {"seconds": 2, "text": 2})],
    ids=["too-few", "too-many", "unknown", "self", "twice"],
)
async def test_c4_bad_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The signature is told, and the handler has not begun."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        with pytest.raises(BadArguments, match=rf"the command is {name}\(\w+: (float|str)\)$") as caught:
            await node.call(slow, name, *args, **kwargs)
        assert caught.value.executed is False
        assert isinstance(caught.value, TypeError)
        assert instance_of(node, slow).begun == 0
        assert_nothing_lost(node)


async def test_c4_a_type_error_of_the_handler_is_its_own() -> None:
    """Not every TypeError is about the arguments of the message."""

    class Clumsy(Service):
        @command
        async def stumble(self, *args: Any) -> None:
            self.take(*args)

        @command
        def stumble_plainly(self) -> int:
            return len(5)  # type: ignore[arg-type]

        def take(self, one: int) -> None: ...

    async with fresh_node() as node:
        clumsy = await node.start(Clumsy)
        for call in (clumsy.stumble, clumsy.stumble_plainly):
            error = await ends_with(RemoteError, True, call)
            assert str(error.args[0]).startswith("TypeError: ")


# --- the service ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_c4_every_waiting_caller_is_told_at_once(how: str) -> None:
    """Running, queued, waiting for room, deferred: each ends, and says whether it had begun."""
    ends: list[tuple[str, bool | None, float]] = []

    async def call(slow: Slow, name: Any, *args: Any) -> None:
        try:
            await getattr(slow, name)(*args)
        except ServiceExited as error:
            ends.append((name, error.executed, trio.current_time()))

    async with fresh_node(stop_grace=5) as node, trio.open_nursery() as nursery:
        slow = await node.start(OneAtATime)
        for name, *args in [("keep_reply",), ("sleep", 9), ("sleep", 9), ("sleep", 9), ("sleep", 9)]:
            nursery.start_soon(call, slow, name, *args)
            await wait_all_tasks_blocked()
        now = trio.current_time()
        if how == "fail":
            await fail_service(node, slow, LookupError("broken"))
        else:
            await getattr(node, how)(slow)
        await wait_all_tasks_blocked()
        grace = 5 if how == "stop" else 0
        assert sorted(ends) == [
            ("keep_reply", True, now + grace),
            ("sleep", False, now),
            ("sleep", False, now),
            ("sleep", False, now),
            ("sleep", True, now + grace),
        ]


async def test_c4_a_service_that_is_ending_takes_no_call() -> None:
    """By handle it has exited already; by name there is nobody."""
    async with fresh_node() as node, trio.open_nursery() as nursery:
        slow = await node.start(Slow, name=".slow")
        await occupy(node, nursery, slow)
        nursery.start_soon(node.stop, slow)
        await wait_all_tasks_blocked()
        error = await ends_with(ServiceExited, False, slow.sleep, 1)
        assert str(error) == ":00000001 .slow (Slow) is ending"
        await ends_with(NoSuchService, False, node.call, ".slow", "sleep", 1)
        nursery.cancel_scope.cancel()


async def test_c4_service_restarting() -> None:
    """Between two lives the name is kept; by handle the former self is gone."""
    async with fresh_node() as node:
        slow = await node.start(Slow, name=".slow", restart=Restart(delay=3))
        await fail_service(node, slow, LookupError("broken"))
        error = await ends_with(ServiceRestarting, False, node.call, ".slow", "sleep", 1)
        assert str(error) == "the service named '.slow' is about to be restarted"
        await ends_with(NoSuchService, False, slow.sleep, 1)
        await node.wait_for_name(".slow")
        assert await node.call(".slow", "sleep", 1) == "slept"


async def test_c4_service_busy() -> None:
    """Only where the service chose so; the others wait."""
    async with fresh_node() as node, trio.open_nursery() as nursery:
        rejecting = await node.start(Rejecting)
        await occupy(node, nursery, rejecting, 2)
        error = await ends_with(ServiceBusy, False, rejecting.sleep, 1)
        assert str(error) == "the inbox of :00000001 (Rejecting) is full (1 messages)"
        await ends_with(ServiceBusy, False, rejecting.sleep.send, 1)
        with pytest.raises(trio.WouldBlock):
            rejecting.sleep.send_nowait(1)
        assert node.statistics().dead_letters == 0
        nursery.cancel_scope.cancel()


async def test_c4_deadlock() -> None:
    """The wait that would close a circle is refused with the circle, and the circle goes on."""
    async with fresh_node() as node:
        one = await node.start(OneAtATime, name=".one")
        two = await node.start(OneAtATime, name=".two")
        with pytest.raises(RemoteError) as caught:
            await one.pass_on(two, "pass_on", one, "sleep", 1)
        text = caught.value.traceback_text
        assert (
            "trionet.Deadlock: services wait on each other: sleep of :00000001 .one (OneAtATime) -> " in text
        )
        assert await one.sleep(1) == await two.sleep(1) == "slept"
        assert_nothing_lost(node)


def test_c4_a_deadlock_has_its_chain() -> None:
    """One entry a service; nothing was executed."""
    error = Deadlock(["a", "b", "a"])
    assert (error.chain, error.executed) == (("a", "b", "a"), False)
    assert str(error) == "services wait on each other: a -> b -> a"


async def test_c4_no_reply() -> None:
    """A deferred reply that is dropped is an answer too."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        error = await ends_with(NoReply, True, slow.drop_reply)
        assert str(error) == "drop_reply of :00000001 (Slow) dropped its deferred reply"


# --- what the handler raises ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fail", "fail_plainly"])
async def test_c4_remote_error_shows_both_halves(name: str) -> None:
    """Where the caller was is the traceback; what happened in the service is in the text."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        error = await ends_with(RemoteError, True, getattr(slow, name), "lost")
        assert isinstance(error, RemoteError)
        assert (error.type_name, error.text) == ("LookupError", "lost")
        first, second, *inside = str(error).splitlines()
        assert (first, second) == ("LookupError: lost", "  | --- in the service that was called ---")
        assert inside[0] == "  | Traceback (most recent call last):"
        assert inside[-1] == "  | LookupError: lost"
        assert any("raise LookupError(text)" in line for line in inside)
        assert not any("trionet/kernel" in line for line in inside)


def test_c4_remote_error_without_text_or_traceback() -> None:
    """As another node may tell it."""
    assert str(RemoteError("a.B", "", "")) == "a.B"
    assert str(RemoteError("a.B", "why", "")) == "a.B: why"


async def test_c4_declared_errors_travel_as_themselves() -> None:
    """They can be caught by class, and still tell what happened in the service."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        with pytest.raises(Broke) as caught:
            await slow.fail_declared("ann")
        assert (caught.value.owner, caught.value.missing) == ("ann", 1)
        (note,) = caught.value.__notes__
        assert note.startswith("  | --- in the service that was called ---\n  | Traceback")
        assert "  | LookupError: the cause" in note


async def test_c4_errors_of_a_second_call_are_remote_errors_of_the_first() -> None:
    """``executed`` is about the caller's own call, so a named error never crosses a service."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        for target, name, type_name in [
            (".nobody", "sleep", "trionet.NoSuchService"),
            (slow, "nothing", "trionet.NoSuchCommand"),
            (slow, "sleep", "trionet.BadArguments"),
        ]:
            error = await ends_with(RemoteError, True, slow.pass_on, target, name)
            assert isinstance(error, RemoteError)
            assert error.type_name == type_name
        error = await ends_with(RemoteError, True, slow.pass_on, slow, "fail", "deep")
        assert str(error).count("LookupError: deep") >= 2


async def test_c4_groups_are_remote_errors() -> None:
    """What the caller sees is the group; cancellation within it is nobody's business."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        error = await ends_with(RemoteError, True, slow.in_a_group, slow, "nothing")
        assert isinstance(error, RemoteError)
        assert error.type_name == "ExceptionGroup"
        assert "trionet.NoSuchCommand" in error.traceback_text
        assert "Cancelled" not in error.traceback_text


# --- time -------------------------------------------------------------------------------------------


async def test_c4_a_deadline_while_it_runs() -> None:
    """The handler is cancelled, and its end is waited for."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        before = trio.current_time()
        error = await ends_with(DeadlineExceeded, True, slow.sleep.options(deadline=2), 10)
        assert str(error) == "sleep of :00000001 (Slow) ran out of time and was cancelled"
        assert isinstance(error, trio.TooSlowError)
        assert trio.current_time() - before == 2
        instance = instance_of(node, slow)
        assert (instance.begun, instance.ended) == (1, 1)
        assert_nothing_lost(node)


async def test_c4_a_deadline_while_it_is_queued() -> None:
    """In the inbox and before it: the handler never starts."""
    async with fresh_node() as node, trio.open_nursery() as nursery:
        slow = await node.start(OneAtATime)
        await occupy(node, nursery, slow)
        async with trio.open_nursery() as callers:
            for _ in range(3):
                callers.start_soon(ends_with, DeadlineExceeded, False, slow.sleep.options(deadline=2), 1)
                await wait_all_tasks_blocked()
            statistics = node.service_statistics(slow)
            assert (statistics.inbox, statistics.waiting_senders) == (1, 2)
        assert instance_of(node, slow).begun == 1
        nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert await slow.sleep(0) == "slept"
        assert instance_of(node, slow).begun == 2


async def test_c4_a_deadline_of_a_shielded_command() -> None:
    """The wait ends; the handler runs on."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        error = await ends_with(DeadlineExceeded, True, slow.sleep_on.options(deadline=2), 10)
        assert str(error) == "sleep_on of :00000001 (Slow) was still running at its deadline"
        (handler,) = node.service_statistics(slow).handlers
        assert (handler.command, handler.abandoned) == ("sleep_on", True)
        await trio.sleep(9)
        assert instance_of(node, slow).ended == 1


async def test_c4_a_deadline_of_a_deferred_reply() -> None:
    """Whoever holds the reply learns that nobody waits any more."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        error = await ends_with(DeadlineExceeded, True, slow.keep_reply.options(deadline=2))
        assert str(error) == "keep_reply of :00000001 (Slow) was still deferred at its deadline"
        (reply,) = instance_of(node, slow).replies
        assert not reply.is_open
        assert not reply.ok("late")
        assert node.service_statistics(slow).deferred == 0


async def test_c4_a_deadline_of_nothing() -> None:
    """Zero seconds are over at the next occasion, whether the handler has begun by then or not."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        with pytest.raises(DeadlineExceeded) as caught:
            await slow.sleep.options(deadline=0)(10)
        assert caught.value.executed is (instance_of(node, slow).begun == 1)
        assert_nothing_lost(node)


class Timed(Slow, deadline=20.0):
    """A default for the class, and one of a command."""

    @command(deadline=10.0)
    async def quick(self, seconds: float) -> str:
        return await self.sleep(seconds)


class TimedApi(Service):
    """Declares a time for one command of two."""

    @command
    @abstractmethod
    async def quick(self, seconds: float) -> str: ...

    @command(deadline=5.0)
    @abstractmethod
    async def sleep(self, seconds: float) -> str: ...


async def measure(call: Any, *args: Any) -> float:
    """Tell after how long a call exceeds its deadline."""
    before = trio.current_time()
    with pytest.raises(DeadlineExceeded):
        await call(*args)
    return trio.current_time() - before


async def test_c4_default_deadlines() -> None:
    """Options before the command's own, that before the class's, that before the node's."""
    async with fresh_node(call_deadline=40) as node:
        slow, timed = await node.start(Slow), await node.start(Timed)
        assert await measure(slow.sleep, 1000) == 40
        assert await measure(timed.sleep, 1000) == 20
        assert await measure(timed.quick, 1000) == 10
        assert await measure(timed.quick.options(deadline=15), 1000) == 15
        assert await measure(timed.quick.options(deadline=2), 1000) == 2
        assert await measure(node.call, timed, "quick", 1000) == 10
        assert await measure(node.call, timed, Timed.quick, 1000) == 10
        assert await measure(node.call, timed, "sleep", 1000) == 20
        untyped = node.ref(timed)
        assert await measure(untyped.quick, 1000) == 10
        by_interface = node.ref(timed, TimedApi)
        assert await measure(by_interface.quick, 1000) == 10
        assert await measure(by_interface.sleep, 1000) == 5


async def test_c4_a_default_deadline_is_for_those_without_one() -> None:
    """The caller's own scope counts, longer or shorter; options only shorten it."""
    async with fresh_node(call_deadline=40) as node:
        timed = await node.start(Timed)
        with trio.fail_after(100):
            assert await timed.quick(90) == "slept"
        with trio.move_on_after(3) as scope:
            await timed.quick(90)
        assert scope.cancelled_caught
        with trio.fail_after(100):
            assert await measure(timed.quick.options(deadline=7), 90) == 7
        with trio.move_on_after(3) as scope:
            await timed.quick.options(deadline=7)(90)
        assert scope.cancelled_caught
        assert await timed.sleep.options(deadline=float("inf"))(1000) == "slept"


class Helped(Service):
    """Calls from a task that its handler starts, within the handler or in the service's nursery."""

    def __init__(self) -> None:
        self.helper_ended: trio.Event | None = None
        self.took = 0.0

    @command
    async def within(self, target: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._call, target)

    @command
    async def beside(self, target: Any, rest: float) -> None:
        self.helper_ended = trio.Event()
        self.nursery.start_soon(self._call, target)
        await trio.sleep(rest)

    async def _call(self, target: Any) -> None:
        before = trio.current_time()
        try:
            await self.call(target, "sleep", 100_000)
        except DeadlineExceeded:
            self.took = trio.current_time() - before
        if self.helper_ended is not None:
            self.helper_ended.set()


@pytest.mark.parametrize("rest", [0, 1, 1000], ids=["before", "during", "after"])
async def test_c4_a_call_of_a_helper_ends_too(rest: float) -> None:
    """A helper of the service outlives the handler that started it, so the node's default is its own."""
    async with fresh_node(call_deadline=40) as node:
        slow, helped = await node.start(Slow), await node.start(Helped)
        with trio.move_on_after(20):
            await helped.beside(slow, rest)
        instance = instance_of(node, helped)
        with trio.fail_after(1000):
            await instance.helper_ended.wait()
        assert instance.took == 40


async def test_c4_a_call_of_a_task_within_the_handler_ends_with_it() -> None:
    """Its time is the time that came with the handler's call."""
    async with fresh_node(call_deadline=40) as node:
        slow, helped = await node.start(Slow), await node.start(Helped)
        assert await measure(helped.within.options(deadline=7), slow) == 7
        assert instance_of(node, helped).took == 0
        assert instance_of(node, slow).ended == 1
        assert_nothing_lost(node)


# --- other errors -----------------------------------------------------------------------------------


async def test_c4_name_taken() -> None:
    """The loser learns whose it is; nothing is left of the loser."""
    async with fresh_node() as node:
        slow = await node.start(Slow)
        for name in (".echo", "echo"):
            owner = await node.start(Echo, name=name)
            for attempt in (partial(node.start, Slow, name=name), partial(node.register, name, slow)):
                with pytest.raises(NameTaken, match=f"the name '{name}' is owned by :") as caught:
                    await attempt()
                assert (caught.value.name, caught.value.owner) == (name, target_of(owner))
        assert len(node.services()) == 3
        assert str(NameTaken("x", None)) == "the name 'x' is reserved by a starting service"


async def test_c4_node_stopping() -> None:
    """A node that stops starts nothing new."""
    async with fresh_node() as node:
        await node.close()
        with pytest.raises(NodeStopping, match=r"node is stopping; .*Echo was not started"):
            await node.start(Echo)


async def test_c4_start_failed_has_its_cause() -> None:
    """The exception of the service is the cause of the starter's."""

    class Stillborn(Service):
        async def setup(self) -> None:
            raise LookupError("no cradle")

    async with fresh_node() as node:
        with pytest.raises(StartFailed, match=r"Stillborn.* did not start: LookupError: no cradle") as caught:
            await node.start(spec(Stillborn), name=".s")
        assert isinstance(caught.value.__cause__, LookupError)
        assert (node.services(), node.names()) == ((), {})


def test_c4_one_base_for_all() -> None:
    """Every error that trionet exports is a TrionetError, and every end of a call a CallError."""
    exported = {name: getattr(trionet, name) for name in trionet.__all__}
    errors = {
        name for name, each in exported.items() if isinstance(each, type) and issubclass(each, Exception)
    }
    ends = {name for name in errors if issubclass(exported[name], CallError)}
    assert all(issubclass(exported[name], TrionetError) for name in errors)
    assert {"ConfigError", "InternalError", "NameTaken", "NodeStopping", "StartFailed"} < errors - ends
    assert {"DeadlineExceeded", "NodeDown", "RemoteError", "BadMessage", "ServiceBusy"} < ends


def test_text_of_an_error() -> None:
    """Also of one that has none to give."""

    @attrs.define(eq=False)
    class Sulky(Exception):
        why: str

        def __str__(self) -> str:
            raise LookupError(self.why)

    assert text_of(LookupError("x")) == "x"
    assert text_of(Sulky("y")) == "<no text: its __str__ raised>"
