"""Commands, specifications and class options: what is declared, and what the declaration refuses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio

from tests.kernel.nodes import fresh_node, instance_of
from trionet import (
    Command,
    DeadlineExceeded,
    NoSuchCommand,
    RemoteError,
    RequestInfo,
    Service,
    Spec,
    StartFailed,
    command,
    current_request,
    spec,
)
from trionet.kernel.reference import target_of
from trionet.kernel.service import SERVICE_CLASSES

pytestmark = pytest.mark.usefixtures("virtual_run")


class Base(Service, concurrency=3, deadline=7.0):
    """Has two commands and options."""

    @command
    async def first(self) -> str:
        """The first one."""
        return "first of base"

    @command(shielded=True, deadline=2.5)
    def second(self, x: int, *, y: str = "y") -> str:
        return f"{x}{y}"

    def helper(self) -> str:
        """No command, though public."""
        return "helper"


class Derived(Base, inbox=4, overflow="reject"):
    """Overrides one command, adds one, calls its own."""

    def __init__(self) -> None:
        self.log_lines: list[str] = []

    @command
    async def first(self) -> str:
        return "first of derived, " + await super().first()

    @command
    async def own(self) -> str:
        return await self.second(1, y="z")

    @command
    async def sleepy(self) -> None:
        await trio.sleep(100)

    @command
    async def own_in_time(self, limit: float) -> None:
        await self.sleepy.options(deadline=limit)()

    @command
    async def own_plain_in_time(self) -> str:
        return await self.second.options(deadline=1)(1)

    @command
    async def note(self, line: str) -> None:
        self.log_lines.append(line)

    @command
    async def send_to_self(self) -> list[str]:
        await self.note.send("sent")
        self.note.send_nowait("sent at once")
        self.log_lines.append("handler")
        return list(self.log_lines)

    @command
    async def what(self) -> list[Any]:
        info = current_request()
        return [info.source, info.node, info.session > 0, info.deadline, info.trace, info.command]


class Relay(Service):
    """Calls on behalf of others."""

    @command
    async def relay(self, target: Any, name: str) -> list[Any]:
        mine = current_request()
        answer: list[Any] = await self.call(target, name)
        return [*answer, mine.trace]


# --- the declaration --------------------------------------------------------------------------------


def test_a_command_is_described_by_its_declaration() -> None:
    """Name, options, docstring, signature; on the class it is the declaration itself."""
    assert isinstance(Base.first, Command)
    assert (Base.first.name, Base.first.shielded, Base.first.deadline) == ("first", False, None)
    assert (Base.second.name, Base.second.shielded, Base.second.deadline) == ("second", True, 2.5)
    assert Base.first.__doc__ == "The first one."
    assert repr(Base.second) == "<command Base.second>"
    assert Base.second.signature_text() == "second(x: int, *, y: str = 'y')"
    assert (Base.first.is_async, Base.second.is_async) == (True, False)


def test_a_command_is_a_plain_public_method() -> None:
    """Generators, private names, other descriptors and odd deadlines are refused where they are written."""

    async def stream(self: Service) -> AsyncIterator[int]:
        yield 1

    def items(self: Service) -> Iterator[int]:
        yield 1

    def _private(self: Service) -> None: ...

    for function, text in [
        (stream, "is a generator"),
        (items, "is a generator"),
        (_private, "is private by its name"),
        (property(lambda self: 1), "functions that are methods of a service"),
        (staticmethod(items), "functions that are methods of a service"),
        (Base, "functions that are methods of a service"),
    ]:
        with pytest.raises(TypeError, match=text):
            command(function)  # type: ignore[call-overload]
    for deadline in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="expected a number of seconds, more than 0"):
            command(deadline=deadline)(lambda self: None)


def test_a_class_collects_the_commands_of_its_bases() -> None:
    """What it overrides is declared again; helpers are no commands."""
    assert sorted(Base.__trionet_commands__) == ["first", "second"]
    assert Derived.__trionet_commands__["first"] is Derived.first
    assert Derived.__trionet_commands__["second"] is Base.second
    with pytest.raises(TypeError, match=r"Hiding\.first overrides a command, but is not declared as one"):

        class Hiding(Base):
            async def first(self) -> str:  # type: ignore[override]
                return "hidden"


def test_a_command_must_not_hide_a_part_of_service() -> None:
    """The author would lose it."""
    with pytest.raises(TypeError, match=r"Clash\.call is a command, but hides Service\.call"):

        class Clash(Service):
            @command
            async def call(self) -> None: ...  # type: ignore[override]


def test_class_options_are_inherited_and_checked() -> None:
    """Each option for itself."""
    options = Derived.__trionet_options__
    assert (options.concurrency, options.inbox, options.overflow, options.deadline) == (3, 4, "reject", 7.0)
    wrong: list[dict[str, Any]] = [
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"inbox": 0},
        {"overflow": "drop"},
        {"deadline": 0},
        {"deadline": float("nan")},
    ]
    for each in wrong:
        with pytest.raises((ValueError, TypeError)):
            type("Wrong", (Service,), {}, **each)
    with pytest.raises(TypeError, match="an option that nobody knows: unknown"):
        type("Wrong", (Service,), {}, unknown=1)


def test_service_classes_are_known_by_module_and_name() -> None:
    """Under the module that wrote them."""
    assert SERVICE_CLASSES[f"{__name__}:Derived"] is Derived


# --- calling ----------------------------------------------------------------------------------------


async def test_commands_are_called_and_inherited() -> None:
    """``async def`` and ``def``, overridden and not, by keyword and by position."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        assert await derived.first() == "first of derived, first of base"
        assert await derived.second(1) == "1y"
        assert await derived.second(2, y="b") == "2b"
        assert await node.call(derived, Base.second, 3) == "3y"
        assert await node.call(derived, "second", 3, y="k") == "3k"


async def test_a_public_method_that_is_no_command_is_out_of_reach() -> None:
    """Neither by reference, nor by a name that comes from elsewhere."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        assert not hasattr(derived, "helper")
        for name in ("helper", "setup", "stop", "__init__", "_actor", "log_lines", "", "first "):
            with pytest.raises(NoSuchCommand, match="it has: first, note, own") as caught:
                await node.call(derived, name)
            assert caught.value.executed is False
            assert isinstance(caught.value, AttributeError)


async def test_a_service_calls_its_own_commands_as_methods() -> None:
    """No message, no copy, no slot; a deadline holds all the same."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        assert await derived.own() == "1z"
        assert await derived.own_plain_in_time() == "1y"
        assert node.service_statistics(derived).messages == 2
        before = trio.current_time()
        with pytest.raises(RemoteError) as caught:
            await derived.own_in_time(3)
        assert caught.value.type_name == "trionet.DeadlineExceeded"
        assert trio.current_time() - before == 3


async def test_a_service_sends_to_itself_through_its_inbox() -> None:
    """It is handled after the handler that sent it has let go."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        assert await derived.send_to_self() == ["handler"]
        assert await derived.first()
        assert instance_of(node, derived).log_lines == ["handler", "sent", "sent at once"]


async def test_options_bind_to_one_use_of_a_command() -> None:
    """The command itself stays as it was; times that are none are refused."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        with pytest.raises(DeadlineExceeded):
            await derived.sleepy.options(deadline=1)()
        assert await derived.first.options(deadline=1)() == await derived.first.options()()
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="expected a number of seconds, 0 or more"):
                derived.first.options(deadline=wrong)


async def test_a_handler_knows_its_request() -> None:
    """Who sent it, from which node, with which deadline; one trace through a chain of calls."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        relay = await node.start(Relay)
        with trio.fail_after(5):
            source, origin, is_call, deadline, trace, name = await derived.what()
            assert (source, origin, is_call, name) == (None, node.incarnation, True, "what")
            assert deadline == trio.current_effective_deadline()
        *answer, relays_trace = await relay.relay(derived, "what")
        assert answer[0] == target_of(relay)
        assert answer[4] == relays_trace != trace
        with pytest.raises(RuntimeError, match="for handlers and the tasks that they start"):
            current_request()
        assert RequestInfo.__module__ == "trionet"


# --- specifications ---------------------------------------------------------------------------------


class Needy(Service):
    """Its constructor needs something."""

    def __init__(self, name: str, *, size: int = 1) -> None:
        self.given = (name, size)

    @command
    def given_is(self, other: str) -> bool:
        return self.given == (other, 1)


class NeedyApi(Service):
    """Two commands without a body."""

    @command
    @abstractmethod
    async def one(self) -> None: ...

    @command
    @abstractmethod
    async def two(self) -> None: ...


class Half(NeedyApi):
    """Has a body for one of them."""

    @command
    async def one(self) -> None: ...


async def test_a_specification_carries_the_constructor_call() -> None:
    """Nothing is started by it, and its arguments are handed over as they are."""
    shared = ["any object"]
    what: Any = spec(Needy, shared, size=3)  # type: ignore[arg-type]
    assert str(what) == f"{__name__}:Needy"
    async with fresh_node() as node:
        needy = await node.start(what)
        twin = await node.start(what)
        assert needy != twin
        assert instance_of(node, needy).given[0] is shared
        assert instance_of(node, twin).given == (shared, 3)


async def test_a_specification_is_checked_at_once() -> None:
    """Before anything is started."""
    for arguments in ((), ("a", "b")):
        with pytest.raises(TypeError, match=r"^Needy\(name.*\)"):
            spec(Needy, *arguments)
    with pytest.raises(TypeError, match=r"^Needy.*unexpected keyword argument"):
        spec(Needy, "a", sise=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="NeedyApi is an interface: one, two has no body"):
        spec(NeedyApi)
    with pytest.raises(TypeError, match="Half is an interface: two has no body"):
        spec(Half)
    for other in (int, "Needy", Needy("a"), lambda: Needy("a")):
        with pytest.raises(TypeError, match=r"is no class that derives from trionet\.Service"):
            spec(other)  # type: ignore[arg-type, type-var]
    async with fresh_node() as node:
        with pytest.raises(TypeError, match="Needy"):
            await node.start(Needy)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await node.start(NeedyApi)
        assert node.services() == ()


async def test_a_constructor_need_not_call_the_base() -> None:
    """And it may already use what the base offers."""

    class Eager(Service):
        def __init__(self) -> None:
            self.at_birth = (self.handle, self.node, self.nursery.cancel_scope.cancel_called)
            self.log.info("made")

    async with fresh_node() as node:
        eager = await node.start(Eager)
        assert instance_of(node, eager).at_birth == (target_of(eager), node, False)


async def test_a_service_that_no_node_started_has_nothing() -> None:
    """Its own methods work, what needs a node says why not."""
    lone = Derived()
    assert await lone.own() == "1z"
    for part in ("node", "handle", "nursery", "log"):
        with pytest.raises(RuntimeError, match="this Derived was not started by a node"):
            getattr(lone, part)
    with pytest.raises(RuntimeError, match="not started by a node"):
        await lone.note.send("x")


async def test_the_nursery_is_closed_after_the_end() -> None:
    """Whoever kept the instance is told so."""
    async with fresh_node() as node:
        derived = await node.start(Derived)
        instance = instance_of(node, derived)
        assert not instance.nursery.cancel_scope.cancel_called
        await node.stop(derived)
        with pytest.raises(RuntimeError, match=r"the nursery of :00000001 .* is closed"):
            _ = instance.nursery


async def test_an_interface_cannot_be_smuggled_in() -> None:
    """Even where somebody makes the specification by hand."""
    async with fresh_node() as node:
        abstract: Any = Half
        half = await node.start(Spec(abstract))
        await half.one()
        with pytest.raises(NoSuchCommand):
            await half.two()
        with pytest.raises(StartFailed):
            await node.start(Spec(Needy))


# --- what a service does for its author -------------------------------------------------------------


class Author(Service):
    """Uses what the base class offers."""

    @command
    async def end(self, target: Any) -> str:
        async with self.watch(target) as watch:
            await self.stop(target)
            return str(await watch.wait())

    @command
    async def write(self, line: str) -> None:
        self.log.warning(line, extra={"more": 1})


async def test_a_service_watches_and_stops_another() -> None:
    """By reference, handle or name, as the node does."""
    async with fresh_node() as node:
        author = await node.start(Author)
        await node.start(Derived, name=".a")
        assert await author.end(".a") == "stopped"
        assert await author.end(await node.start(Derived)) == "stopped"


async def test_the_log_of_a_service_says_who_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """Handle and name are in each record, besides what the author adds."""
    async with fresh_node() as node:
        author = await node.start(Author, name=".author")
        await author.write("hello")
    (record,) = [each for each in caplog.records if each.getMessage() == "hello"]
    assert record.name == f"{__name__}.Author"
    extra = vars(record)
    assert (extra["service"], extra["service_name"], extra["more"]) == (":00000001", ".author", 1)


async def test_c11_a_service_that_loses_its_name_stops(caplog: pytest.LogCaptureFixture) -> None:
    """That is the default; an author may override it."""
    async with fresh_node() as node:
        author = await node.start(Author, name="author")
        instance = instance_of(node, author)
        async with node.watch(author) as watch:
            instance.nursery.start_soon(instance.name_lost, "author", None)
            assert str(await watch.wait()) == "stopped"
    assert ":00000001 author (Author) lost its name 'author' and stops" in caplog.text
