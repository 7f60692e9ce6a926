"""``trionet.run`` as a library has it: exit codes, exceptions, signals, in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.ports import free_address
from trionet import ClusterConfig, Node, NodeConfig, Service, command, open_node
from trionet.program import Launch, Parent, Stage, StopSignals, _run, run, run_node


class Lingering(Service):
    """Does not end by itself."""

    async def teardown(self) -> None:
        await trio.sleep_forever()


class Waiting(Service):
    """Has a handler that runs until it is cancelled."""

    @command
    async def wait(self) -> None:
        await trio.sleep_forever()


def test_main_gets_node_and_arguments() -> None:
    seen: list[object] = []

    async def main(node: Node, first: int, second: str) -> None:
        seen.extend([node.name, first, second])

    run(main, NodeConfig(name="here"), args=(1, "two"))
    assert ["here", 1, "two"] == seen


@pytest.mark.parametrize("alone", [True, False])
def test_a_node_of_a_cluster_has_a_launcher_before_main_begins(alone: bool) -> None:
    seen: list[object] = []

    async def main(node: Node) -> None:
        await trio.lowlevel.checkpoint()
        seen.extend(node.names())

    cluster = None if alone else ClusterConfig(harbor=1, standalone=free_address())
    run(main, cluster=cluster)
    assert ([] if alone else [".launcher"]) == seen


def test_what_main_raises_comes_out_as_it_is() -> None:
    error = KeyError("x")

    async def main(node: Node) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(KeyError) as caught:
        run(main)
    assert error is caught.value


def test_a_main_that_is_not_async_is_refused() -> None:
    def main(node: Node) -> Any:
        return 5

    with pytest.raises(TypeError, match="main returned 5; it must be an async function"):
        run(main)


def test_what_cannot_be_called_is_refused_before_anything_runs() -> None:
    """Most of all what a call of ``main`` gives, as ``asyncio.run`` takes it."""

    async def main() -> None: ...

    coroutine: Any = main()
    with pytest.raises(TypeError, match=r"expected its function: run\(main\), not run\(main\(\)\)"):
        run(coroutine)
    with pytest.raises(TypeError, match=r"found 5, expected a function: async def main\(node\)"):
        run(5)  # type: ignore[call-overload]


def test_what_is_cut_off_gives_exit_code_75_and_the_list(caplog: pytest.LogCaptureFixture) -> None:
    async def main(node: Node) -> None:
        await node.start(Lingering, name=".a")
        await node.start(Lingering, name=".b")

    with pytest.raises(SystemExit) as caught:
        run(main, NodeConfig(stop_grace=0))
    assert 75 == caught.value.code
    assert (
        "cut off: teardown of :00000002 .b (Lingering); teardown of :00000001 .a (Lingering)" in caplog.text
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_main_and_stops_the_node_in_order(number: signal.Signals) -> None:
    events: list[str] = []

    class Orderly(Service):
        async def teardown(self) -> None:
            await trio.lowlevel.checkpoint()
            events.append("teardown")

    async def main(node: Node) -> None:
        await node.start(Orderly)
        signal.raise_signal(number)
        try:
            await trio.sleep_forever()
        finally:
            events.append("main ended")

    before = signal.getsignal(number)
    run(main)
    assert ["main ended", "teardown"] == events
    assert before is signal.getsignal(number)


def test_main_can_still_fail_when_it_is_stopped() -> None:
    async def main(node: Node) -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("x")

    with pytest.raises(KeyError):
        run(main)


def test_a_second_signal_cancels_everything(caplog: pytest.LogCaptureFixture) -> None:
    async def main(node: Node) -> None:
        waiting = await node.start(Waiting, name=".waiting")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.wait)
            await trio.testing.wait_all_tasks_blocked()
            await node.start(Waiting, name=".idle")
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit) as caught:
        run(main, NodeConfig(stop_grace=3600))
    assert 75 == caught.value.code
    assert "cut off: :00000001 .waiting (Waiting)" in caplog.text
    assert ".idle" not in caplog.text


def test_a_second_signal_when_nothing_is_left_to_do_is_a_clean_end() -> None:
    async def main(node: Node) -> None:
        await node.start(Waiting)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

    run(main)


def test_a_signal_before_trio_runs_keeps_main_from_starting() -> None:
    async def main(node: Node) -> None:
        raise AssertionError("must not run")

    with StopSignals() as stops:
        signal.raise_signal(signal.SIGINT)
        assert 0 == run_node(Launch(main), stops, Parent())


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_while_the_node_opens_keeps_main_from_starting(
    monkeypatch: pytest.MonkeyPatch, signals: int
) -> None:
    @asynccontextmanager
    async def interrupted(config: NodeConfig, *, network: None) -> AsyncIterator[Node]:
        for _ in range(signals):
            signal.raise_signal(signal.SIGINT)
        await trio.lowlevel.cancel_shielded_checkpoint()
        async with open_node(config) as node:
            yield node

    async def main(node: Node) -> None:
        raise AssertionError("must not run")

    monkeypatch.setattr(_run, "open_node", interrupted)
    run(main)


def test_a_signal_while_a_script_is_loaded_is_a_keyboard_interrupt() -> None:
    with StopSignals(Stage.LOADING) as stops, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert 1 == stops.count


def test_a_signal_after_the_node_is_only_counted() -> None:
    async def main(node: Node) -> None: ...

    with StopSignals() as stops:
        run_node(Launch(main), stops, Parent())
        signal.raise_signal(signal.SIGINT)
    assert 1 == stops.count


def test_from_the_second_signal_on_the_system_decides() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopSignals():
        signal.raise_signal(signal.SIGINT)
        assert signal.SIG_DFL != signal.getsignal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert signal.SIG_DFL == signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM)
    assert before is signal.getsignal(signal.SIGINT)


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    during: list[object] = []

    async def main(node: Node) -> None:
        during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run, args=(main,))
    thread.start()
    thread.join()
    assert [before] == during


def check_types(one: Callable[[Node], Awaitable[None]], two: Callable[[Node, int], Awaitable[None]]) -> None:
    """Never called: what a type checker accepts and refuses."""
    run(one)
    run(two, args=(1,))
    run(two, args=("x",))  # type: ignore[arg-type]
