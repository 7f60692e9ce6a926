"""The helpers that force a path, and the stand-ins."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from trionet import (
    Handle,
    Node,
    NoSuchService,
    RemoteError,
    Restart,
    Service,
    ServiceBusy,
    command,
    spec,
)
from trionet.testing import Hold, Received, exits, fail_service, full_inbox, stand_in


class Clerk(Service):
    """Files what it gets, as fast as the test lets it."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.filed: list[str] = []

    @command
    async def file(self, paper: str) -> int:
        await self.hold.here()
        self.filed.append(paper)
        return len(self.filed)

    @command
    def count(self) -> int:
        return len(self.filed)


class Rejecting(Clerk, overflow="reject"):
    """Takes no more than it has room for."""


async def test_a_hold_holds_until_it_is_released(node: Node) -> None:
    hold = Hold()
    clerk = await node.start(spec(Clerk, hold))
    async with trio.open_nursery() as nursery:
        for paper in "abc":
            nursery.start_soon(clerk.file, paper)
        await hold.wait_held(3)
        assert 3 == hold.held
        hold.release_one()
        await wait_all_tasks_blocked()
        assert 2 == hold.held
        hold.release()
    assert 0 == hold.held
    assert await clerk.file("d") == 4  # nobody is held any more


async def test_waiting_for_who_is_held_already_returns(node: Node) -> None:
    hold = Hold()
    clerk = await node.start(spec(Clerk, hold))
    await clerk.file.send("a")
    await wait_all_tasks_blocked()
    with assert_checkpoints():
        await hold.wait_held()
    hold.release()
    with assert_checkpoints():
        await hold.here()


async def test_who_is_cancelled_is_not_held(node: Node) -> None:
    hold = Hold()
    clerk = await node.start(spec(Clerk, hold))
    with trio.move_on_after(1):
        await clerk.file("a")
    assert 0 == hold.held
    hold.release_one()  # there is nobody
    with trio.move_on_after(1) as scope:
        await clerk.file("b")
    assert scope.cancelled_caught


async def test_a_full_inbox_lets_nobody_in(node: Node) -> None:
    hold = Hold()
    hold.release()
    clerk = await node.start(spec(Clerk, hold))
    order: list[int] = []

    async def file(paper: str) -> None:
        order.append(await clerk.file(paper))

    async with trio.open_nursery() as nursery:
        with full_inbox(node, clerk):
            with pytest.raises(trio.WouldBlock):
                clerk.file.send_nowait("x")
            for paper in "abc":
                nursery.start_soon(file, paper)
                await wait_all_tasks_blocked()
            await trio.sleep(30)
            assert 3 == node.service_statistics(clerk).waiting_senders
            assert [] == order
    assert [1, 2, 3] == order
    clerk.file.send_nowait("y")
    assert await clerk.file("z") == 5


async def test_a_full_inbox_makes_a_service_busy_that_rejects(node: Node) -> None:
    hold = Hold()
    hold.release()
    rejecting = await node.start(spec(Rejecting, hold))
    with full_inbox(node, rejecting), pytest.raises(ServiceBusy):
        await rejecting.file("x")
    assert await rejecting.file("y") == 1


async def test_a_full_inbox_holds_up_direct_calls_too(node: Node) -> None:
    clerk = await node.start(spec(Clerk, Hold()))
    with full_inbox(node, clerk):
        with trio.move_on_after(1) as scope:
            await clerk.count()
        assert scope.cancelled_caught
    assert await clerk.count() == 0


async def test_what_is_in_a_full_inbox_is_handled(node: Node) -> None:
    hold = Hold()
    hold.release()
    clerk = await node.start(spec(Clerk, hold))
    await clerk.file.send("a")
    with full_inbox(node, clerk):
        await wait_all_tasks_blocked()
        assert 1 == node.service_statistics(clerk).messages


async def test_a_full_inbox_has_its_own_room_again_after_an_error(node: Node) -> None:
    hold = Hold()
    hold.release()
    clerk = await node.start(spec(Clerk, hold))
    with pytest.raises(KeyError), full_inbox(node, clerk):
        raise KeyError
    assert await clerk.file("a") == 1


async def test_who_waits_for_a_full_inbox_of_a_service_that_ends_is_told(node: Node) -> None:
    hold = Hold()
    clerk = await node.start(spec(Clerk, hold))
    async with trio.open_nursery() as nursery:
        with full_inbox(node, clerk):
            nursery.start_soon(clerk.file.send, "a")
            await wait_all_tasks_blocked()
            await node.kill(clerk)
    assert 1 == node.dead_letters.count


async def test_fail_service_fails_it_in_its_own_task(node: Node) -> None:
    hold = Hold()
    clerk = await node.start(spec(Clerk, hold), name=".clerk", restart=Restart(delay=1))
    exit_ = await fail_service(node, clerk, KeyError("why"))
    assert "failed: KeyError: 'why'" == str(exit_)
    assert (exit_,) == exits(node)
    assert await node.wait_for_name(".clerk") != exit_.handle


async def test_fail_service_is_for_services_that_run(node: Node) -> None:
    hold = Hold()

    class Slow(Clerk):
        async def teardown(self) -> None:
            await self.hold.here()

    slow = await node.start(spec(Slow, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.stop, slow)
        await hold.wait_held()
        with pytest.raises(NoSuchService, match="is ending already"):
            await fail_service(node, slow, KeyError())
        hold.release()
    for target in (slow, ".nobody", Handle.make(3, 1, 2)):
        with pytest.raises(NoSuchService):
            await fail_service(node, target, KeyError())
        with pytest.raises(NoSuchService), full_inbox(node, target):
            raise AssertionError("there is no inbox")


async def test_exits_are_in_order(node: Node) -> None:
    one, two = [await node.start(spec(Clerk, Hold())) for _ in range(2)]
    assert () == exits(node)
    await node.kill(two)
    await node.stop(one)
    assert ["killed", "stopped"] == [each.reason for each in exits(node)]


class Store(Service):
    """An interface."""

    @command
    @abstractmethod
    async def get(self, key: str, default: str = "") -> str: ...

    @command(shielded=True, deadline=3)
    @abstractmethod
    async def put(self, key: str, value: str) -> None: ...


class RealStore(Store):
    """Needs what a test has not."""

    def __init__(self, database: object) -> None:
        raise AssertionError("not in a test")

    async def setup(self) -> None:
        raise AssertionError("not in a test")

    async def teardown(self) -> None:
        raise AssertionError("not in a test")


class Client(Service):
    """The service under test: works with a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @command
    async def copy(self, source: str, target: str) -> str:
        value = await self.store.get(source, default="none")
        await self.store.put.send(target, value)
        return value


@pytest.mark.parametrize("cls", [Store, RealStore])
async def test_a_stand_in_answers_and_records(node: Node, cls: Any) -> None:
    received: list[Received] = []
    store = await node.start(stand_in(cls, received, get="value"), name=".store")
    client = await node.start(spec(Client, node.ref(".store", Store)))
    assert await client.copy("a", "b") == "value"
    await wait_all_tasks_blocked()
    source = received[0].source
    assert source == node.services()[-1]
    assert [
        Received("get", ("a",), {"default": "none"}, source),
        Received("put", ("b", "value"), {}, source),
    ] == received
    assert isinstance(store, cls)
    assert await store.get("x") == "value"
    assert received[-1].source is None
    await node.stop(store)


async def test_a_stand_in_raises_what_is_an_exception(node: Node) -> None:
    store = await node.start(stand_in(Store, get=KeyError("broken")))
    for _ in range(2):
        with pytest.raises(RemoteError, match="KeyError: 'broken'"):
            await store.get("a")


async def test_a_stand_in_calls_what_can_be_called(node: Node) -> None:
    hold = Hold()

    async def slow(key: str, value: str) -> None:
        await hold.here()

    store = await node.start(stand_in(Store, get=lambda key, default="": f"{key} or {default}", put=slow))
    assert await store.get("a", default="b") == "a or b"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.put, "a", "b")
        await hold.wait_held()
        hold.release()


async def test_a_stand_in_answers_nothing_by_itself(node: Node) -> None:
    store: Any = await node.start(stand_in(Store))
    assert await store.get("a") is None


async def test_a_stand_in_takes_only_what_the_command_takes(node: Node) -> None:
    received: list[Received] = []
    store = await node.start(stand_in(Store, received))
    with pytest.raises(RemoteError, match="missing a required argument: 'value'"):
        await node.call(store, "put", "a")
    assert [] == received


async def test_a_stand_in_has_the_options_of_the_commands(node: Node) -> None:
    hold = Hold()

    async def slow(key: str, value: str) -> None:
        await hold.here()

    store = await node.start(stand_in(Store, put=slow))
    began = trio.current_time()
    with pytest.raises(trio.TooSlowError):
        await store.put("a", "b")
    assert 3 == trio.current_time() - began
    assert node.service_statistics(store).handlers[0].abandoned
    hold.release()


def test_a_stand_in_is_for_commands_that_are_there() -> None:
    with pytest.raises(TypeError, match=r"got: no command of Store \(commands: get, put\)"):
        stand_in(Store, got=1)
    with pytest.raises(TypeError, match="is no class that derives from"):
        stand_in(int)  # type: ignore[type-var]
