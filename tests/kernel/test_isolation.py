"""C9: a handler's exception fails that call, a service's own ends the service; neither ends the node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.nodes import Echo, assert_nothing_lost, fresh_node
from tests.kernel.raiser import Raiser
from trionet import (
    Exit,
    InternalError,
    Node,
    RemoteError,
    Reply,
    Service,
    ServiceExited,
    command,
    defer,
    open_node,
    spec,
)
from trionet.kernel import handlers
from trionet.kernel.reference import target_of
from trionet.kernel.seams import simulated
from trionet.testing import assert_no_leaks

pytestmark = pytest.mark.usefixtures("virtual_run")


class Sulky(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise LookupError("no comment")


class Odd(Exception):
    """An exception of the user's."""


class Base(BaseException):
    """An exception that most code would not catch."""


#: What a handler may raise, and what the caller is told of it.
RAISED: dict[str, tuple[Callable[[], BaseException], str]] = {
    "exception": (lambda: LookupError("why"), "LookupError: why"),
    "without-text": (LookupError, "LookupError"),
    "group": (
        lambda: ExceptionGroup("two", [Odd("a"), ValueError("b")]),
        "ExceptionGroup: two (2 sub-exceptions)",
    ),
    "stop-iteration": (lambda: StopIteration(5), "RuntimeError: "),
    "stop-async-iteration": (lambda: StopAsyncIteration(5), "StopAsyncIteration: 5"),
    "system-exit": (lambda: SystemExit(3), "SystemExit: 3"),
    "base-exception": (lambda: Base("why"), "tests.kernel.test_isolation.Base: why"),
    "base-group": (
        lambda: BaseExceptionGroup("one", [Base("a")]),
        "BaseExceptionGroup: one (1 sub-exception)",
    ),
    "generator-exit": (lambda: GeneratorExit("why"), "GeneratorExit: why"),
    "unprintable": (Sulky, "tests.kernel.test_isolation.Sulky: <no text: its __str__ raised>"),
    "foreign-cancelled": (lambda: asyncio.CancelledError("why"), "asyncio.exceptions.CancelledError: why"),
    "too-slow": (lambda: trio.TooSlowError("why"), "trio.TooSlowError: why"),
}


class Thrower(Raiser):
    """Raises what it is told to, in every way."""

    raised = RAISED

    @command
    async def deferred(self, kind: str) -> None:
        reply = defer()
        await trio.sleep(1)
        error = RAISED[kind][0]()
        assert isinstance(error, Exception)
        reply.fail(error)

    @command
    async def after_deferring(self, kind: str) -> None:
        self.reply: Reply = defer()
        raise RAISED[kind][0]()

    @command(shielded=True)
    async def shielded(self, kind: str) -> None:
        await trio.sleep(1)
        raise RAISED[kind][0]()

    @command
    async def in_a_helper(self, kind: str) -> str:
        self.nursery.start_soon(self._raise, kind)
        await trio.sleep(5)
        return "not reached"

    async def _raise(self, kind: str) -> None:
        raise RAISED[kind][0]()


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged as an error."""
    return [each for each in caplog.records if each.levelno >= logging.ERROR]


# --- handlers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("name", ["at_once", "later", "plainly", "after_deferring"])
async def test_c9_a_handlers_exception_fails_that_call(
    name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And only that one: the service goes on, also with the calls that run meanwhile."""
    async with fresh_node() as node, trio.open_nursery() as nursery:
        thrower, echo = await node.start(Thrower), await node.start(Echo)

        async def other() -> None:
            with pytest.raises(RemoteError, match="LookupError: why"):
                await thrower.later("exception")

        nursery.start_soon(other)
        with pytest.raises(RemoteError) as caught:
            await node.call(thrower, name, kind)
        assert str(caught.value.args[0]).startswith(RAISED[kind][1])
        assert caught.value.executed is True
        assert await echo.echo(1) == 1
        await wait_all_tasks_blocked()
        assert node.services() == (target_of(thrower), target_of(echo))
    assert not errors(caplog)


@pytest.mark.parametrize("kind", ["exception", "group", "unprintable", "too-slow"])
async def test_c9_a_deferred_failure_fails_that_call(kind: str) -> None:
    """As if the handler had raised it."""
    async with fresh_node() as node:
        thrower = await node.start(Thrower)
        with pytest.raises(RemoteError) as caught:
            await thrower.deferred(kind)
        assert str(caught.value.args[0]).startswith(RAISED[kind][1])
        assert_nothing_lost(node)


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("name", ["at_once", "later", "plainly", "after_deferring"])
async def test_c9_what_a_sent_message_raises_is_logged(
    name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With traceback, command and service, by the logger of the service's class."""
    async with fresh_node() as node:
        thrower = await node.start(Thrower)
        await node.send(thrower, name, kind)
        await trio.sleep(2)
        assert node.services() == (target_of(thrower),)
    (record,) = errors(caplog)
    assert record.name == "tests.kernel.test_isolation.Thrower"
    assert record.getMessage() == f"{name}, sent to :00000001 (Thrower), failed"
    assert record.exc_info is not None
    if kind != "stop-iteration":
        assert record.exc_info[0] is type(RAISED[kind][0]())


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_c9_an_error_that_nobody_waits_for_any_more_is_logged(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler of a shielded command may fail after its caller has gone."""
    async with fresh_node() as node:
        thrower = await node.start(Thrower)
        if how == "cancelled":
            with trio.move_on_after(0.5):
                await thrower.shielded("exception")
        else:
            with pytest.raises(trio.TooSlowError):
                await thrower.shielded.options(deadline=0.5)("exception")
        await trio.sleep(2)
    (record,) = errors(caplog)
    assert record.getMessage() == "shielded of :00000001 (Thrower) raised when nobody waited"


async def test_c9_a_keyboard_interrupt_ends_the_node() -> None:
    """It is meant for the process, wherever it hits."""

    class Interrupted(Service):
        @command
        async def work(self) -> None:
            await trio.sleep(1)
            raise KeyboardInterrupt

    async def main() -> None:
        async with open_node(seams=simulated(0)) as node:
            interrupted = await node.start(Interrupted)
            await interrupted.work()

    with pytest.raises(KeyboardInterrupt):
        await main()


# --- a service's own tasks --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RAISED)
async def test_c9_an_exception_of_its_own_task_ends_the_service(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers are told, watchers are told, the log has the traceback; the node and the others go on."""
    async with fresh_node() as node:
        thrower, echo = await node.start(Thrower), await node.start(Echo)
        async with node.watch(thrower) as watch:
            with pytest.raises(ServiceExited) as caught:
                await thrower.in_a_helper(kind)
            assert caught.value.executed is True
            end: Exit = await watch.wait()
        assert end.reason == "failed"
        assert end.error
        assert await echo.echo(1) == 1
        assert node.services() == (target_of(echo),)
    (record,) = errors(caplog)
    assert record.getMessage() == ":00000001 (Thrower) failed"
    assert record.exc_info is not None


async def test_c9_several_tasks_that_fail_at_once_are_one_failure() -> None:
    """The watcher is told of the group."""

    class Twice(Service):
        async def setup(self) -> None:
            self.signal = trio.Event()
            self.nursery.start_soon(self.fail, "a")
            self.nursery.start_soon(self.fail, "b")

        async def fail(self, text: str) -> None:
            await self.signal.wait()
            raise LookupError(text)

        @command
        async def go(self) -> None:
            await wait_all_tasks_blocked()
            self.signal.set()

    async with fresh_node() as node:
        twice = await node.start(Twice)
        async with node.watch(twice) as watch:
            await twice.go.send()
            end = await watch.wait()
        assert end.error == "ExceptionGroup: Exceptions from Trio nursery (2 sub-exceptions)"


async def test_c9_what_an_ended_service_leaves_is_cleaned_up(node: Node) -> None:
    """No name, no child, no task, no message."""

    class Parent(Thrower):
        async def setup(self) -> None:
            await self.start(Echo, name=".child")
            self.nursery.start_soon(trio.sleep_forever)

    parent = await node.start(Parent, name=".parent")
    await parent.later.send("exception")
    await wait_all_tasks_blocked()
    with pytest.raises(ServiceExited):
        await parent.in_a_helper("exception")
    await wait_all_tasks_blocked()
    assert (node.services(), node.names()) == ((), {})
    assert_no_leaks(node)


# --- trionet's own bugs -----------------------------------------------------------------------------


async def test_c9_a_bug_of_the_dispatcher_takes_the_node_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loudly, with the cause; a service would hide it."""

    def broken(*args: Any) -> None:
        raise ZeroDivisionError("a bug")

    async def main() -> None:
        async with open_node(seams=simulated(0)) as node:
            echo = await node.start(Echo)
            await node.send(echo, "no such command")
            await trio.sleep(1000)

    monkeypatch.setattr(handlers, "_refuse", broken)
    with pytest.raises(InternalError, match=r"the dispatcher of :00000001 \(Echo\) broke") as caught:
        await main()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_c9_an_exception_of_the_nodes_own_code_ends_the_node() -> None:
    """In order: the services are stopped first, then it is raised as it is."""
    torn_down = []

    class Orderly(Service):
        async def teardown(self) -> None:
            torn_down.append(self.handle)

    async def main() -> None:
        async with fresh_node() as node:
            await node.start(Orderly)
            raise LookupError("of main")

    with pytest.raises(LookupError, match="of main"):
        await main()
    assert len(torn_down) == 1


class Wrapping(Service):
    """Fails in a helper task: with an error of its own, or with one that a nursery of it has wrapped."""

    def __init__(self, *, wrap: bool) -> None:
        self.wrap = wrap

    async def setup(self) -> None:
        self.nursery.start_soon(self.help)

    async def help(self) -> None:
        if not self.wrap:
            raise Odd("mine")
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise Odd("mine")
        except Odd:
            raise AssertionError("the nursery has wrapped it") from None


@pytest.mark.parametrize("wrap", [False, True])
async def test_an_error_that_an_inner_nursery_has_wrapped_says_so(
    wrap: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is shown without its groups; without the note nobody could see why ``except Odd`` missed it."""
    async with fresh_node() as node:
        service = await node.start(spec(Wrapping, wrap=wrap))
        async with node.watch(service) as watch:
            assert str(await watch.wait()) == "failed: Odd: mine"
    (record,) = errors(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Odd)
    notes = getattr(record.exc_info[1], "__notes__", [])
    assert ["`except* Odd` does" in each for each in notes] == [True] * wrap
