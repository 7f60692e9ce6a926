"""Values (C1), within a node and across two: the same table through both paths."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from tests.kernel.nodes import Echo, instance_of
from tests.sim.places import Placement, everywhere, open_places
from tests.values_table import REFUSED, VALUES, Broke, Player, same
from trionet import BadMessage, Handle, NodeConfig, Service, command, value
from trionet.message._classes import BY_CLASS, BY_NAME
from trionet.testing import open_cluster

#: What is no value of the kernel: the table has a reference class of its own.
TABLE = {
    name: item for name, item in VALUES.items() if "reference" not in name and name != "dict-handle-keys"
}


@everywhere
async def test_c1_a_value_comes_out_the_same(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        echo = places.from_here(await places.there.start(Echo))
        changed = [name for name, item in TABLE.items() if not same(await echo.echo(item), item)]
        assert changed == []
        for item in TABLE.values():
            await echo.echo.send(item)
        assert await echo.count() == 2 * len(TABLE)
        seen = [item for item, _ in instance_of(places.there, echo).seen[len(TABLE) :]]
        assert all(map(same, seen, TABLE.values()))


@everywhere
@pytest.mark.parametrize("name", list(REFUSED))
async def test_c1_what_is_no_value_fails_at_the_sender(
    autojump_clock: MockClock, placement: Placement, name: str
) -> None:
    item, reason = REFUSED[name]
    async with open_places(placement) as places:
        echo = places.from_here(await places.there.start(Echo))
        for call in (echo.echo, echo.echo.send):
            with pytest.raises(BadMessage) as caught:
                await call([item])
            assert str(caught.value).startswith("args[0][0]")
            assert reason in str(caught.value)
            assert caught.value.executed is False
        assert await echo.count() == 0


@value(name="tests.Years")
@attrs.define(on_setattr=attrs.setters.NO_OP)
class Years:
    count: int = attrs.field(validator=attrs.validators.ge(0))


class Giver(Service):
    """Gives what it should not."""

    def __init__(self) -> None:
        self.items: list[Any] = [[1]]

    @command
    def give(self, name: str) -> Any:
        return {"x": REFUSED[name][0]}

    @command
    def large(self, size: int) -> bytes:
        return bytes(size)

    @command
    def state(self) -> list[Any]:
        return self.items

    @command
    def fail(self) -> None:
        raise Broke("ann", 3)

    @command
    def older(self, years: Years) -> int:
        return years.count + 1

    @command
    def younger(self, years: Years) -> Years:
        years.count -= 1
        return years


@everywhere
async def test_c1_a_result_that_is_no_value_fails_the_call(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        giver = places.from_here(await places.there.start(Giver))
        for name, (_, reason) in REFUSED.items():
            with pytest.raises(BadMessage) as caught:
                await giver.give(name)
            assert reason in str(caught.value)
            assert caught.value.executed is True


@everywhere
async def test_c1_nothing_is_shared(autojump_clock: MockClock, placement: Placement) -> None:
    """Neither the arguments nor the result; aliases become copies."""
    async with open_places(placement) as places:
        echo = places.from_here(await places.there.start(Echo))
        giver = places.from_here(await places.there.start(Giver))
        inner = [1]
        player = Player("ann", [inner, inner])
        got = await echo.echo(player)
        inner.append(2)
        assert got == Player("ann", [[1], [1]])
        assert got.items[0] is not got.items[1]
        (kept, _) = instance_of(places.there, echo).seen[0]
        kept.items[0].append(9)
        assert (player.items, got.items) == ([[1, 2], [1, 2]], [[1], [1]])
        state = await giver.state()
        state[0].append(5)
        assert await giver.state() == [[1]]


@everywhere
async def test_c1_a_cycle_and_what_is_too_deep_fail_at_the_sender(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, NodeConfig(message_depth=10)) as places:
        echo = places.from_here(await places.there.start(Echo))
        loop: list[Any] = []
        loop.append(loop)
        deep: list[Any] = []
        for _ in range(20):
            deep = [deep]
        for item in (loop, deep):
            with pytest.raises(BadMessage) as caught:
                await echo.echo(item)
            assert caught.value.executed is False


@everywhere
async def test_c1_what_is_too_large_fails_at_its_sender(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """An argument at the caller; a result at the callee, whose caller is told."""
    async with open_places(placement, NodeConfig(message_size=100_000)) as places:
        echo = places.from_here(await places.there.start(Echo))
        giver = places.from_here(await places.there.start(Giver))
        with pytest.raises(BadMessage) as caught:
            await echo.echo(bytes(100_001))
        assert caught.value.executed is False
        with pytest.raises(BadMessage) as caught:
            await giver.large(100_001)
        assert caught.value.executed is True
        assert len(await giver.large(99_000)) == len(await echo.echo(bytes(99_000))) == 99_000


@everywhere
async def test_c1_validators_run_in_the_receiver(autojump_clock: MockClock, placement: Placement) -> None:
    """Of arguments and of results.  Their failure fails that call; the link and the service go on."""
    async with open_places(placement) as places:
        giver = places.from_here(await places.there.start(Giver))
        years = Years(1)
        years.count = -1
        with pytest.raises(BadMessage, match=r"Years was refused by its validator: .*count") as caught:
            await giver.older(years)
        assert caught.value.executed is False
        with pytest.raises(BadMessage, match=r"Years was refused by its validator: .*count") as caught:
            await giver.younger(Years(0))
        assert caught.value.executed is True
        assert await giver.older(Years(1)) == 2


@everywhere
async def test_c1_a_declared_exception_travels_as_itself(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        giver = places.from_here(await places.there.start(Giver))
        with pytest.raises(Broke) as caught:
            await giver.fail()
        assert (caught.value.owner, caught.value.missing) == ("ann", 3)
        assert "in the service that was called" in "".join(caught.value.__notes__)
        assert "def fail" not in str(caught.value)


async def test_c1_a_class_that_the_other_node_does_not_know_is_told_with_the_place(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of arguments the handler has not begun; of an error at least what it says arrives."""
    async with open_cluster(2) as cluster:
        giver = cluster[1].ref(await cluster[2].start(Giver), Giver)
        monkeypatch.delitem(BY_NAME, BY_CLASS[Years].name)
        monkeypatch.delitem(BY_NAME, BY_CLASS[Broke].name)
        with pytest.raises(
            BadMessage, match=r"^harbor 2 could not read the arguments: 'tests\.Years' is not"
        ) as of:
            await giver.older(Years(1))
        assert of.value.executed is False
        with pytest.raises(
            BadMessage, match=r"^the error could not be read: .*; it says 'ann lacks 3'$"
        ) as of:
            await giver.fail()
        assert of.value.executed is True
        async with cluster[1].dead_letters.subscribe() as letters:
            await giver.older.send(Years(1))
            letter = await letters.receive()
        assert letter.reason.startswith("harbor 2 could not read the arguments: ")


# --- references and handles ---------------------------------------------------------------------------


class Holder(Service):
    """Keeps an address that it was sent, and uses it."""

    def __init__(self) -> None:
        self.kept: Any = None

    @command
    def keep(self, address: Any) -> None:
        self.kept = address

    @command
    async def use(self, item: Any) -> Any:
        return await self.call(self.kept, "echo", item)

    @command
    def what(self) -> tuple[str, str]:
        return type(self.kept).__name__, str(self.kept)

    @command
    async def give_echo(self) -> Echo:
        return await self.start(Echo)

    @command
    async def give_back(self) -> Any:
        return self.kept


@everywhere
async def test_c1_references_and_handles_travel(autojump_clock: MockClock, placement: Placement) -> None:
    """Whatever the way was, the receiver reaches the same service; so does who gets it back."""
    async with open_places(placement) as places:
        echo = await places.here.start(Echo)
        holder = places.from_here(await places.there.start(Holder))
        handle: Handle = places.here.services()[0]
        for address in (echo, handle, places.here.ref(echo)):
            await holder.keep(address)
            assert await holder.use(1) == 1
            back = await holder.give_back()
            assert back == address
            assert await places.here.call(back, "echo", 2) == 2
        assert await echo.count() == 6


@everywhere
async def test_c1_a_result_may_be_a_reference_typed_as_its_service(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        holder = places.from_here(await places.there.start(Holder))
        child = await holder.give_echo()
        assert isinstance(child, Echo)
        assert await child.echo("x") == "x"


@everywhere
async def test_c1_a_local_name_is_resolved_by_the_sender_and_a_global_one_stays(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        await places.here.start(Echo, name=".echo")
        await places.here.start(Echo, name="echo")
        await places.there.wait_for_name("echo")
        holder = places.from_here(await places.there.start(Holder))
        await holder.keep(places.here.ref(".echo", Echo))
        assert await holder.use(1) == 1
        assert (await holder.what())[1] == f"<reference {places.here.lookup('.echo')} Echo>"
        await holder.keep(places.here.ref("echo", Echo))
        assert await holder.use(2) == 2
        assert (await holder.what())[1] == "<reference echo Echo>"
