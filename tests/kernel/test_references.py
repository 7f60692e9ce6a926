"""References: typed access to commands, bound to a handle or a name; and identity (C12)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import pytest
import trio

from tests.kernel.nodes import Echo, assert_nothing_lost, fresh_node, instance_of
from trionet import (
    BadArguments,
    BoundCommand,
    Handle,
    Node,
    NodeDown,
    NoSuchCommand,
    NoSuchService,
    Service,
    ServiceExited,
    command,
    spec,
)
from trionet.kernel.reference import target_of
from trionet.testing import open_simulated_node

pytestmark = pytest.mark.usefixtures("virtual_run")


class CounterApi(Service):
    """What others may know of a counter."""

    @command
    @abstractmethod
    async def add(self, amount: int) -> int: ...

    @command
    @abstractmethod
    async def clone(self) -> CounterApi: ...


class Counter(CounterApi):
    """A counter that has more commands than its interface."""

    def __init__(self, total: int = 0) -> None:
        self.total = total

    @command
    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    @command
    async def clone(self) -> CounterApi:
        return await self.start(spec(Counter, self.total))

    @command
    async def me(self) -> Counter:
        return self.ref()

    @command
    async def reset(self) -> None:
        self.total = 0


class Visitor(Service):
    """Uses references that it is given."""

    @command
    async def visit(self, counter: CounterApi) -> int:
        return await counter.add(1)

    @command
    async def describe(self, reference: Any) -> tuple[str, str]:
        return repr(reference), type(reference).__name__

    @command
    async def target(self, reference: Any) -> Any:
        return target_of(reference)


def earlier(node: Node, harbor: int = 0) -> Handle:
    """A handle of a service of an earlier incarnation of this node, or of another one."""
    return Handle.make(harbor, 1, node.incarnation ^ 1)


# --- what a reference is ----------------------------------------------------------------------------


async def test_c4_a_reference_has_the_commands_and_nothing_else() -> None:
    """State, private parts and the machinery of the service are not there."""
    async with fresh_node() as node:
        counter = await node.start(spec(Counter, 5))
        assert isinstance(counter, Counter)
        assert isinstance(counter.add, BoundCommand)
        assert await counter.add(2) == 7
        for name in ("total", "handle", "node", "nursery", "setup", "stop", "_actor", "__trionet_commands__"):
            assert not hasattr(counter, name) or name.startswith("__"), name
        with pytest.raises(AttributeError, match=r"'total' is no command of Counter .*add, clone, me, reset"):
            _ = counter.total
        with pytest.raises(AttributeError, match="its attributes cannot be set"):
            counter.total = 3
        assert instance_of(node, counter).total == 7


async def test_c4_an_interface_class_shows_its_own_commands_only() -> None:
    """Whoever holds the interface cannot reach the rest, though the service has it."""
    async with fresh_node() as node:
        counter = await node.start(Counter, name=".counter")
        seen = node.ref(counter, CounterApi)
        assert isinstance(seen, CounterApi)
        assert not isinstance(seen, Counter)
        assert await seen.add(1) == 1
        with pytest.raises(AttributeError, match="'reset' is no command of CounterApi"):
            _ = seen.reset  # type: ignore[attr-defined]


async def test_c4_an_untyped_reference_takes_any_command() -> None:
    """Only the service knows whether there is such a command."""
    async with fresh_node() as node:
        await node.start(Counter, name=".counter")
        anything = node.ref(".counter")
        assert await anything.add(3) == 3
        with pytest.raises(NoSuchCommand, match="it has: add, clone, me, reset"):
            await anything.nothing()
        with pytest.raises(AttributeError):
            _ = anything._private


async def test_references_are_equal_by_what_they_are_bound_to() -> None:
    """The interface does not count; a name and a handle are different things."""
    async with fresh_node() as node:
        counter = await node.start(Counter, name=".counter")
        other = await node.start(Counter)
        by_name = node.ref(".counter", Counter)
        assert counter == node.ref(counter, CounterApi) == node.ref(target_of(counter))
        assert by_name == node.ref(".counter")
        assert by_name != counter
        assert counter != other
        handle: Any = target_of(counter)
        assert counter != handle
        assert {counter, node.ref(counter), by_name, node.ref(".counter")} == {counter, by_name}


async def test_references_say_what_they_are() -> None:
    """The text names the target and the interface."""
    async with fresh_node() as node:
        counter = await node.start(Counter)
        assert repr(counter) == "<reference :00000001 Counter>"
        assert repr(node.ref(".x")) == "<reference .x>"
        assert repr(counter.add) == "<command add of :00000001>"
        assert type(counter).__doc__ == "A reference to a Counter."


async def test_a_reference_cannot_be_made_of_anything() -> None:
    """Wrong addresses and wrong interfaces are errors at once."""
    async with fresh_node() as node:
        for wrong in ("", "a b", "a@b", "x" * 300, ":", ":xyz", ":123456789"):
            with pytest.raises(ValueError, match=r"is no name|longer than|is no handle"):
                node.ref(wrong)
        for wrong_type in (5, None, Counter, b".x"):
            with pytest.raises(TypeError, match="is no address"):
                node.ref(wrong_type)
        wrong_interfaces: list[Any] = [int, Counter(), "Counter"]
        for interface in wrong_interfaces:
            with pytest.raises(TypeError, match=r"is no class that derives from trionet\.Service"):
                node.ref(".x", interface)


async def test_what_travels_of_a_reference() -> None:
    """What it is bound to, and the name of its interface."""
    async with fresh_node() as node:
        counter = await node.start(Counter)
        assert counter.__trionet_reference__() == (target_of(counter), f"{__name__}:Counter")  # type: ignore[attr-defined]
        assert node.ref("world").__trionet_reference__() == ("world", None)


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".counter", "counter"], ids=["local", "global"])
async def test_a_reference_by_name_follows_its_owner(name: str) -> None:
    """It finds the owner anew at each message; one by handle does not."""
    async with fresh_node() as node:
        by_name = node.ref(name, Counter)
        with pytest.raises(NoSuchService, match="nobody owns the name") as caught:
            await by_name.add(1)
        assert caught.value.executed is False
        by_handle = await node.start(Counter, name=name)
        assert await by_name.add(1) == 1
        await node.stop(by_name)
        await node.start(Counter, name=name)
        assert await by_name.add(5) == 5
        with pytest.raises(NoSuchService, match="it has ended, or never was"):
            await by_handle.add(1)


async def test_a_name_stands_wherever_an_address_does() -> None:
    """Call, send, watch, stop, statistics, register."""
    async with fresh_node() as node:
        counter = await node.start(Counter, name=".counter")
        for address in (
            ".counter",
            counter,
            target_of(counter),
            str(target_of(counter)),
            node.ref(".counter"),
        ):
            await node.call(address, "add", 1)
            await node.send(address, Counter.add, 1)
            node.send_nowait(address, "add", 1)
            assert node.service_statistics(address).handle == target_of(counter)
            async with node.watch(address) as watch:
                assert watch.handle == target_of(counter)
        assert await counter.add(0) == 15
        await node.stop(".counter")
        for address in (counter, target_of(counter), ":1"):
            with pytest.raises(NoSuchService):
                await node.call(address, "add", 1)


# --- references in messages -------------------------------------------------------------------------


async def test_references_travel() -> None:
    """What arrives can be used, and what comes back is a reference too."""
    async with fresh_node() as node:
        counter = await node.start(spec(Counter, 1))
        visitor = await node.start(Visitor)
        assert await visitor.visit(counter) == 2
        twin = await counter.clone()
        assert isinstance(twin, Counter)
        assert await visitor.visit(twin) == 3
        assert await counter.add(0) == 2
        me = await counter.me()
        assert me == counter
        assert_nothing_lost(node)


async def test_a_local_name_is_resolved_by_the_sender() -> None:
    """Elsewhere it would mean another service; a global name stays what it is."""
    async with fresh_node() as node:
        counter = await node.start(Counter, name=".counter")
        await node.start(Counter, name="world")
        visitor = await node.start(Visitor)
        handle = target_of(counter)
        assert await visitor.target(node.ref(".counter", CounterApi)) == handle
        assert await visitor.target(node.ref("world")) == "world"
        assert await visitor.target(counter) == handle
        assert await visitor.describe(node.ref(".counter", CounterApi)) == (
            "<reference :00000001 CounterApi>",
            "CounterApiReference",
        )


async def test_handles_travel_and_can_be_called() -> None:
    """A handle is a value and an address."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        counter = await node.start(Counter)
        handle = await echo.echo(target_of(counter))
        assert await node.call(handle, Counter.add, 4) == 4


async def test_a_reference_of_an_ended_service_says_so() -> None:
    """At rest and while it ends."""
    async with fresh_node() as node:
        counter = await node.start(Counter)
        await node.stop(counter)
        with pytest.raises(
            NoSuchService, match="no service at :00000001: it has ended, or never was"
        ) as caught:
            await counter.add(1)
        assert caught.value.executed is False
        assert not isinstance(caught.value, ServiceExited)


# --- identity ---------------------------------------------------------------------------------------


async def test_c12_a_handle_of_an_earlier_incarnation_reaches_nothing() -> None:
    """Harbor id 0 included: calls fail, sends are dead letters, watches tell, names are no way around."""
    async with fresh_node() as node:
        counter = await node.start(Counter)
        old = earlier(node)
        assert str(old) == str(target_of(counter))
        with pytest.raises(NodeDown, match="of an earlier incarnation of this node") as caught:
            await node.call(old, "add", 1)
        assert caught.value.executed is False
        await node.send(old, "add", 1)
        node.send_nowait(node.ref(old, Counter), "add", 1)
        assert [node.statistics().dead_letters, await counter.add(0)] == [2, 0]
        async with node.watch(old) as watch:
            with trio.fail_after(1):
                assert str(await watch.wait()) == "node down"
        for end in (node.stop, node.kill):
            with pytest.raises(NodeDown):
                await end(old)
        with pytest.raises(NodeDown):
            node.service_statistics(old)
        with pytest.raises(NodeDown):
            await node.register(".old", old)
        assert await counter.add(1) == 1


async def test_c12_a_stored_handle_is_of_its_node_only() -> None:
    """The next run of the same node draws another incarnation, so the same number is another service."""
    async with fresh_node() as node:
        stored = await node.start(Counter)
        old = target_of(stored)
    async with open_simulated_node(seed=1) as node:
        counter = await node.start(Counter)
        assert str(target_of(counter)) == str(old)
        assert target_of(counter) != old
        for address in (stored, old):
            with pytest.raises(NodeDown):
                await node.call(address, "add", 1)
        echo = await node.start(Echo)
        assert await echo.echo({old: 1, target_of(counter): 2}) == {old: 1, target_of(counter): 2}
        assert await counter.add(1) == 1


async def test_c12_the_text_of_a_handle_means_the_present_incarnation() -> None:
    """Text has no incarnation to compare."""
    async with fresh_node() as node:
        counter = await node.start(Counter)
        assert await node.call(":1", "add", 1) == 1
        assert node.ref(":00000001") == counter
        with pytest.raises(NoSuchService):
            await node.call(":2", "add", 1)


async def test_c12_a_harbor_that_never_was_is_down() -> None:
    """Without a network every other node is."""
    async with fresh_node() as node:
        there = earlier(node, harbor=3)
        for address in (there, ":03000001", node.ref(there, Counter)):
            with pytest.raises(NodeDown, match="this one has no network") as caught:
                await node.call(address, "add", 1)
            assert caught.value.executed is False
            await node.send(address, "add", 1)
            node.send_nowait(address, "add", 1)
        assert node.statistics().dead_letters == 6
        with pytest.raises(NodeDown):
            node.ref(":03000001")
        for end in (node.stop, node.kill):
            with pytest.raises(NodeDown):
                await end(there)
        async with node.watch(there) as watch:
            assert str(await watch.wait()) == "node down"
        with pytest.raises(NoSuchService, match="is not on this node"):
            node.service_statistics(there)
        with pytest.raises(NoSuchService, match="is not on this node"):
            await node.register("x", there)


async def test_c12_a_handle_is_not_used_again() -> None:
    """The next service has the next handle, and the old one stays dead."""
    async with fresh_node() as node:
        first = await node.start(Counter)
        await node.kill(first)
        second = await node.start(Counter)
        assert target_of(second) != target_of(first)
        with pytest.raises(NoSuchService):
            await first.add(1)


async def test_bad_arguments_through_a_reference() -> None:
    """A reference does not check arguments; the service does."""
    async with fresh_node() as node:
        counter = await node.start(Counter)
        with pytest.raises(BadArguments, match=r"the command is add\(amount: int\)"):
            await counter.add()  # type: ignore[call-arg]
