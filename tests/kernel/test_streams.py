"""Streams on one node: what is declared, and what has no other side on another node."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.fountain import Fountain, fountain
from tests.kernel.nodes import fresh_node
from tests.kernel.stage import Stage, actor_of, begin, opened
from trionet import (
    BoundStream,
    NoSuchCommand,
    RemoteError,
    RequestInfo,
    Service,
    ServiceExited,
    command,
    current_request,
    defer,
    spec,
    stream,
)
from trionet.testing import stand_in

pytestmark = pytest.mark.usefixtures("virtual_run")


class NewsApi(Service):
    """An interface."""

    @stream
    @abstractmethod
    def headlines(self, about: str, *, most: int = 3) -> AsyncIterator[str]: ...


class News(NewsApi):
    """Implements it."""

    @stream(deadline=3.0, buffer=2)
    async def headlines(self, about: str, *, most: int = 3) -> AsyncIterator[str]:
        """Yield some headlines."""
        for number in range(most):
            yield f"{about} {number}"

    @command
    async def both(self) -> list[str]:
        async with self.headlines("own", most=1) as own:
            return [line async for line in own]


class LateNews(News):
    """Calls what it overrides."""

    @stream
    async def headlines(self, about: str, *, most: int = 3) -> AsyncIterator[str]:
        async with super().headlines(about, most=most) as lines:
            async for line in lines:
                yield f"late {line}"

    @command
    async def own(self) -> tuple[list[str], list[Any], str]:
        async with self.headlines("own", most=2) as lines:
            received = [line async for line in lines]
            statistics = list(attrs.astuple(lines.statistics()))
        try:
            await lines.receive()
        except trio.ClosedResourceError as error:
            return received, statistics, str(error)
        return received, statistics, "it was still open"


# --- what is declared ----------------------------------------------------------------------------------


async def items() -> AsyncIterator[int]:
    yield 1


async def _private() -> AsyncIterator[int]:
    yield 1


def plain(self: object) -> AsyncIterator[int]:
    return items()


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (items.__get__(1), "is for functions that are methods"),
        (_private, "is private by its name"),
        (plain, "is no async generator"),
        (abstractmethod(wait_all_tasks_blocked), "without a body it is declared by `def`"),
    ],
)
def test_what_is_no_stream(method: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        stream(method)


@pytest.mark.parametrize("options", [{"deadline": 0}, {"buffer": 0}, {"buffer": 1 << 31}, {"buffer": 1.5}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"deadline of|buffer is a number"):
        stream(**options)(_named("numbers"))
    bound: BoundStream[Any, Any] = BoundStream(None, stream(_named("numbers")))  # type: ignore[arg-type]
    if "deadline" not in options:
        with pytest.raises(ValueError, match="buffer is a number"):
            bound.options(**options)
    with pytest.raises(ValueError, match="buffer_bytes is a number"):
        bound.options(buffer_bytes=0)
    with pytest.raises(ValueError, match=r"found .*, expected a number of seconds, 0 or more"):
        bound.options(deadline=float("nan"))


def test_a_declaration_tells_what_it_is() -> None:
    assert repr(News.headlines) == "<stream News.headlines>"
    assert News.headlines.signature_text() == "headlines(about: str, *, most: int = 3)"
    assert (News.headlines.deadline, News.headlines.buffer, News.headlines.endless) == (3.0, 2, False)
    assert (NewsApi.headlines.abstract, News.headlines.abstract) == (True, False)
    assert News.headlines.__doc__ == "Yield some headlines."
    assert list(News.__trionet_commands__) == ["headlines", "both"]


def test_what_a_class_may_not_declare() -> None:
    with pytest.raises(TypeError, match="is a command, but overrides a stream"):
        type("Wrong", (News,), {"headlines": command(lambda self: None)})
    with pytest.raises(TypeError, match="is a stream, but overrides a command"):
        type("Wrong", (News,), {"both": stream(_named("both"))})
    with pytest.raises(TypeError, match="headlines overrides a stream, but is not declared as one"):
        type("Wrong", (News,), {"headlines": None})
    with pytest.raises(TypeError, match=r"is a stream, but hides Service\.stop"):
        type("Wrong", (Service,), {"stop": stream(_named("stop"))})


def _named(name: str) -> Any:
    async def made(self: Any) -> AsyncIterator[int]:
        yield 1

    made.__name__ = name
    return made


def test_an_interface_cannot_be_started() -> None:
    with pytest.raises(TypeError, match="headlines"):
        spec(NewsApi)


# --- use -----------------------------------------------------------------------------------------------


async def test_by_reference_interface_and_address() -> None:
    async with fresh_node() as node:
        news: NewsApi = await node.start(News, name=".news")
        assert repr(news.headlines).startswith("<stream headlines of <reference :")
        for call in (
            news.headlines("a", most=2),
            node.ref(".news", NewsApi).headlines("a", most=2),
            node.stream(".news", News.headlines, "a", most=2),
            node.stream(news, "headlines", "a", most=2),
            node.ref(".news", News).headlines.options(buffer=1)("a", most=2),
        ):
            async with call as lines:
                assert [line async for line in lines] == ["a 0", "a 1"]


async def test_of_oneself_it_runs_in_place() -> None:
    async with fresh_node() as node:
        late = await node.start(LateNews)
        async with late.headlines("a", most=1) as lines:
            assert [line async for line in lines] == ["late a 0"]
        received, statistics, closed = await node.call(late, "own")
        assert received == ["late own 0", "late own 1"]
        assert statistics == [2, 0, 0, 0, 0, True]
        assert closed == "the block that opened the stream was left"


async def test_what_is_not_opened_says_so() -> None:
    async with fresh_node() as node:
        news = await node.start(News)
        with pytest.raises(TypeError, match="open it first: `async with"):
            async for _ in news.headlines("a"):  # type: ignore[attr-defined]
                pass
        with pytest.raises(TypeError, match="is not awaited but opened"):
            await news.headlines("a")  # type: ignore[misc]
        with pytest.raises(TypeError, match="is no stream: expected its name"):
            node.stream(news, News.both)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="is no command: expected its name"):
            await node.call(news, News.headlines, "a")  # type: ignore[call-overload]
        call = news.headlines("a")
        async with call as lines:
            await lines.receive()
        with pytest.raises(RuntimeError, match="was opened already"):
            await call.__aenter__()


async def test_a_send_to_a_stream_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with fresh_node() as node:
        news = await node.start(News)
        await node.send(news, "headlines", "a")
        await wait_all_tasks_blocked()
        assert "it is a stream, to be opened with `async with`" in caplog.text


class Told(Service):
    """Tells what it knows of its request."""

    @stream
    async def request(self) -> AsyncIterator[RequestInfo]:
        yield current_request().command  # type: ignore[misc]
        yield current_request().session > 0  # type: ignore[misc]
        yield current_request().deadline  # type: ignore[misc]

    @stream
    async def deferred(self) -> AsyncIterator[int]:
        yield 1
        defer()


async def test_the_current_request() -> None:
    async with fresh_node() as node:
        told = await node.start(Told)
        async with told.request() as facts:
            assert [fact async for fact in facts] == ["request", True, float("inf")]
        async with told.deferred() as once:
            assert await once.receive() == 1
            with pytest.raises(RemoteError, match="deferred is a stream"):
                await once.receive()


async def test_a_stream_is_a_running_handler(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        source = await node.start(spec(Fountain, stage))
        async with source.at_gates("a") as keys:
            await wait_all_tasks_blocked()
            (handler,) = node.service_statistics(source).handlers
            assert handler.command == "at_gates"
            assert "await self.stage.gate(key).wait()" in handler.stack[0]
            stage.open("a")
            assert await keys.receive() == "a"
        async with source.count(1000):
            await wait_all_tasks_blocked()
            (handler,) = node.service_statistics(source).handlers
            assert "yield number" in handler.stack[0]
        assert node.service_statistics(source).handlers == ()


async def test_a_stand_in_has_the_streams_too() -> None:
    async with fresh_node() as node:
        for answer, expected in [
            (None, []),
            (["a", "b"], ["a", "b"]),
            (lambda about, most: [about] * most, ["x", "x"]),
            (lambda about, most: items(), [1]),
        ]:
            news = await node.start(stand_in(NewsApi, headlines=answer))
            async with news.headlines("x", most=2) as lines:
                assert [line async for line in lines] == expected
        news = await node.start(stand_in(NewsApi, headlines=ValueError("no")))
        with pytest.raises(RemoteError, match="no"):
            async with news.headlines("x"):
                pass


# --- its service stops -----------------------------------------------------------------------------------


async def test_a_stream_may_finish_within_the_grace_time(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(stop_grace=5) as node, trio.open_nursery() as nursery:
        source = await node.start(spec(Fountain, stage))
        async with source.at_gates("a", "b") as keys:
            nursery.start_soon(node.stop, source)
            await trio.sleep(1)
            stage.open("a", "b")
            assert [key async for key in keys] == ["a", "b"]


async def test_an_endless_stream_ends_when_its_service_stops(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(stop_grace=5) as node:
        source = await node.start(spec(Fountain, stage))
        async with source.forever() as numbers:
            began = trio.current_time()
            await node.stop(source)
            assert trio.current_time() == began
            assert await numbers.receive() == 1
            with pytest.raises(ServiceExited) as caught:
                await numbers.receive()
            assert caught.value.executed is True
        assert node.cut_off == ()
        assert stage.log == ["ends"]


# --- circles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 255, 256, 300])
@pytest.mark.parametrize(("rest", "told"), [(1, "call"), (0, "producer")])
async def test_c7_a_consumer_calls_a_service_whose_slot_its_stream_has(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, taken: int, rest: float, told: str
) -> None:
    """Whoever closes the circle is told: the call, or the producer that finds no room."""
    async with opened() as node, trio.open_nursery() as nursery:
        one = await node.start(spec(fountain(concurrency=1), Stage()), name=".one")
        two = await node.start(spec(fountain(concurrency=1), Stage()), name=".two")
        take = await begin(
            nursery, lambda: two.take_then_call(taken, rest, ".one", "count", [1000], "note", "x")
        )
        await take.over.wait()
        circle = "Deadlock: services wait on each other: "
        if told == "call":
            assert f"{circle}note of :00000001 .one (Fountain) -> take_then_call of :00000002" in take.end
            assert not caplog.records
        else:
            assert take.end == "value x"  # it had its slot when the stream failed
            assert f"{circle}take_then_call of :00000002 .two (Fountain) -> note of :0" in caplog.text
        assert await one.note("still there") == "still there"


async def test_c7_a_producer_calls_the_service_that_waits_for_it(autojump_clock: MockClock) -> None:
    async with opened() as node:
        await node.start(spec(fountain(concurrency=1), Stage()), name=".one")
        two = await node.start(spec(fountain(concurrency=1), Stage()), name=".two")
        with pytest.raises(RemoteError, match=r"Deadlock: .*note of :00000002 .* -> ask of :00000001"):
            await two.collect(".one", "ask", ".two", "note", "x")


async def test_c7_a_stream_of_oneself_through_the_inbox(autojump_clock: MockClock) -> None:
    async with opened() as node:
        one = await node.start(spec(fountain(concurrency=1), Stage()), name=".one")
        with pytest.raises(RemoteError, match=r"Deadlock: .*count of :00000001 .* -> count of :00000001"):
            await one.collect(".one", "count", 1)
        assert await one.note("x") == "x"


class Sharing(Service):
    """Receives in a helper task while it calls."""

    def __init__(self) -> None:
        self.received: list[int] = []

    @command
    async def by_helper(self, target: str, items: int) -> list[int]:
        async with self.stream(target, "count", items) as numbers, trio.open_nursery() as nursery:

            async def receive() -> None:
                async for number in numbers:
                    self.received.append(number)

            nursery.start_soon(receive)
            await self.call(target, "note", "x")
        return self.received


async def test_c7_a_helper_of_the_consumer_may_receive(autojump_clock: MockClock) -> None:
    """The producer waits for room while the handler waits for the producer's slot, and yet it goes on."""
    async with opened() as node:
        await node.start(spec(fountain(concurrency=1), Stage()), name=".one")
        sharing = await node.start(Sharing)
        assert await sharing.by_helper(".one", 1000) == list(range(1000))


async def test_only_one_task_at_a_time_receives(autojump_clock: MockClock) -> None:
    async with opened() as node, trio.open_nursery() as nursery:
        source = await node.start(spec(Fountain, Stage()))
        async with source.at_gates("a") as keys:
            first = await begin(nursery, keys.receive)
            with pytest.raises(trio.BusyResourceError):
                await keys.receive()
        await first.over.wait()
        assert first.end.startswith("ClosedResourceError")


async def test_nothing_is_known_of_a_name_that_is_neither() -> None:
    async with fresh_node() as node:
        source = await node.start(spec(Fountain, Stage()))
        with pytest.raises(NoSuchCommand, match="has no command 'rain'"):
            async with node.stream(source, "rain"):
                pass
        assert actor_of(node, source).handlers == {}
