"""Cancellation travels (C6): what handlers do when they are cancelled, alone and in a chain of calls."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Caller, Puppet, Stage, actor_of, begin, opened, start
from tests.stubborn import Stubborn
from trionet import RemoteError, Service, ServiceExited, command, spec

# --- the handler cancels its own caller ---------------------------------------------------------------


class Traitor(Service):
    """Cancels the scope of its caller, in the first step."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.seen: list[str] = []

    @command
    def at_once(self) -> str:
        self.scope.cancel()
        return "returned"

    @command
    async def and_fail(self) -> str:
        self.scope.cancel()
        raise ValueError("failed")

    @command
    async def and_wait(self) -> str:
        self.scope.cancel()
        try:
            await trio.sleep_forever()
        finally:
            self.seen.append("cancelled")

    @command
    async def and_checkpoint(self) -> None:
        self.scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        self.seen.append("went on")

    @command(shielded=True)
    async def and_go_on(self) -> None:
        self.scope.cancel()
        await trio.lowlevel.checkpoint()
        self.seen.append("went on")

    @command
    def ping(self) -> str:
        return "pong"


@pytest.mark.parametrize(
    ("name", "end", "seen"),
    [
        ("at_once", "value returned", []),
        ("and_fail", "RemoteError: ValueError: failed", []),
        ("and_wait", "cancelled", ["cancelled"]),
        ("and_checkpoint", "cancelled", []),
        ("and_go_on", "cancelled", ["went on"]),
    ],
)
async def test_c6_the_handler_cancels_its_caller_in_its_first_step(
    autojump_clock: MockClock, name: str, end: str, seen: list[str]
) -> None:
    async with opened() as node, trio.open_nursery() as nursery:
        caller = Caller(lambda: node.call(".traitor", name))
        traitor = await node.start(spec(Traitor, caller.scope), name=".traitor")
        actor = actor_of(node, traitor)
        nursery.start_soon(caller.run)
        await wait_all_tasks_blocked()
        assert caller.end == end
        assert actor.instance is not None
        assert vars(actor.instance)["seen"] == seen
        # the scope of the task that drove it was spent: the next handler must not feel it
        assert await traitor.ping() == "pong"
        assert await traitor.ping() == "pong"


async def test_c6_a_spent_scope_does_not_reach_the_next_handler_of_the_task(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        for turn in range(3):
            key = f"k{turn}"
            caller = await begin(nursery, lambda key=key: box.hold(key))  # type: ignore[misc]
            caller.scope.cancel()
            assert await stage.settle(node) == [f"{key} begins", f"{key} cancelled"]
            stage.open("fine")
            assert await box.hold("fine") == "fine"
            assert await stage.settle(node) == ["fine begins", "fine ends"]


async def test_c6_a_spent_scope_does_not_reach_a_handler_that_was_queued(autojump_clock: MockClock) -> None:
    """The task goes on with the next message at once, without a pause between."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        first = await begin(nursery, lambda: box.hold("first"))
        second = await begin(nursery, lambda: box.hold("second"))
        first.scope.cancel()
        assert await stage.settle(node) == ["first begins", "first cancelled", "second begins"]
        stage.open("second")
        await second.over.wait()
        assert second.end == "value second"


# --- handlers that do not just end --------------------------------------------------------------------


class Worse(Stubborn):
    """Handlers that end in still other ways when they are cancelled."""

    @command
    async def group_with_error(self) -> None:
        async def fail() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("within")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fail)

    @command
    async def group_of_groups(self) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            raise BaseExceptionGroup("outer", [BaseExceptionGroup("inner", [cancelled])]) from None


async def outcome_of(name: str) -> tuple[str, float]:
    """How a call of a stubborn handler ends that is cancelled after ten seconds, and when."""
    async with opened() as node, trio.open_nursery() as nursery:
        await node.start(Worse, name=".stubborn")
        caller = await begin(nursery, lambda: node.call(".stubborn", name))
        began = trio.current_time()
        await trio.sleep(10)
        caller.scope.cancel()
        await caller.over.wait()
        return caller.end, trio.current_time() - began


@pytest.mark.parametrize(
    ("name", "end", "seconds"),
    [
        ("swallow", "value after all", 10),
        ("convert", "RemoteError: KeyError: 'instead'", 10),
        ("clean_up", "cancelled", 15),
        ("group", "cancelled", 10),
        (
            "group_with_error",
            "RemoteError: ExceptionGroup: Exceptions from Trio nursery (1 sub-exception)",
            10,
        ),
        ("group_of_groups", "cancelled", 10),
        ("own_scope", "value moved on", 10),
    ],
)
async def test_c6_the_call_is_over_when_the_handler_is(
    autojump_clock: MockClock, name: str, end: str, seconds: float
) -> None:
    assert await outcome_of(name) == (end, seconds)


async def test_c6_a_cancelled_within_a_scope_of_the_handler_stays_there(autojump_clock: MockClock) -> None:
    """A handler may cancel its own scopes; its caller gets what it returns."""
    async with opened() as node:
        stubborn = await node.start(Worse)
        assert await stubborn.own_scope() == "moved on"


async def test_c6_a_remote_error_of_a_cleanup_is_told(autojump_clock: MockClock) -> None:
    """What a handler raised in place of the cancellation is the outcome, with its traceback."""
    async with opened() as node:
        stubborn = await node.start(Worse)
        with trio.move_on_after(1), pytest.raises(RemoteError) as caught:
            await stubborn.group_with_error()
        assert "KeyError: 'within'" in caught.value.traceback_text


# --- through several services ------------------------------------------------------------------------


async def test_c6_cancellation_goes_through_nested_calls(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        a, b, c = [await start(node, stage, name=f".{name}") for name in "abc"]
        caller = await begin(nursery, lambda: a.relay(b, "relay", c, "hold", "x"))
        assert [node.service_statistics(each).running for each in (a, b, c)] == [1, 1, 1]
        caller.scope.cancel()
        log = await stage.settle(node)
        assert log == ["relay relay", "relay hold", "x begins", "x cancelled"]
        assert caller.end == "cancelled"
        assert [node.service_statistics(each).running for each in (a, b, c)] == [0, 0, 0]


async def test_c6_a_nested_call_that_is_queued_is_withdrawn(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        a = await start(node, stage)
        b = await start(node, stage, concurrency=1)
        await begin(nursery, lambda: b.hold("x"))
        caller = await begin(nursery, lambda: a.relay(b, "note", "never"))
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert caller.end == "cancelled"
        stage.open("x")
        assert "never" not in await stage.settle(node)


async def test_c6_a_shielded_command_in_the_chain_stops_the_cancellation(autojump_clock: MockClock) -> None:
    class Middle(Puppet):
        @command(shielded=True)
        async def guard(self, target: Puppet) -> str:
            return await target.hold("x")

    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        middle = await node.start(spec(Middle, stage))
        last = await start(node, stage)
        caller = await begin(nursery, lambda: middle.guard(last))
        caller.scope.cancel()
        assert await stage.settle(node) == ["x begins"]
        assert caller.end == "cancelled"
        stage.open("x")
        assert await stage.settle(node) == ["x ends"]


async def test_c6_cancelled_never_crosses_from_one_service_to_another(autojump_clock: MockClock) -> None:
    """A handler that ended by cancellation for another reason gives ServiceExited."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        a = await start(node, stage, name=".a")
        b = await start(node, stage, name=".b")
        caller = await begin(nursery, lambda: a.relay(b, "hold", "x"))
        await node.kill(b)
        await wait_all_tasks_blocked()
        why = ":00000002 .b (Puppet) ended while it handled hold"
        assert caller.end == f"RemoteError: trionet.ServiceExited: {why}"
        assert await a.note("alive") == "alive"


async def test_c4_a_handler_that_leaks_a_cancelled_gives_service_exited(autojump_clock: MockClock) -> None:
    class Leak(Service):
        def __init__(self) -> None:
            self.old: BaseException | None = None

        @command
        async def leak(self) -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                try:
                    await trio.lowlevel.checkpoint()
                except trio.Cancelled as error:
                    self.old = error
                    raise
            assert self.old is not None
            raise self.old

        @command
        def ping(self) -> str:
            return "pong"

    async with opened() as node:
        leak = await node.start(Leak)
        for _ in range(3):
            with pytest.raises(ServiceExited) as caught:
                await leak.leak()
            assert caught.value.executed is True
        assert await leak.ping() == "pong"


async def test_c6_a_call_in_a_helper_task_is_cancelled_with_the_handler(autojump_clock: MockClock) -> None:
    class Fan(Service):
        @command
        async def out(self, targets: list[Puppet]) -> None:
            async with trio.open_nursery() as nursery:
                for number, target in enumerate(targets):
                    nursery.start_soon(target.hold, str(number))

    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        fan = await node.start(Fan)
        targets = [await start(node, stage) for _ in range(3)]
        caller = await begin(nursery, lambda: fan.out(targets))
        caller.scope.cancel()
        log = await stage.settle(node)
        assert sorted(log[3:]) == ["0 cancelled", "1 cancelled", "2 cancelled"]
        assert caller.end == "cancelled"
