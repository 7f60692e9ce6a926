"""Type tests of streams: each with what is accepted and what is rejected."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, assert_type

from trionet import BoundStream, Node, Service, Stream, StreamCall, StreamReader, command, stream


class FeedApi(Service):
    """An interface: streams without bodies."""

    @stream
    @abstractmethod
    def lines(self, about: str, *, most: int = 3) -> AsyncIterator[str]: ...


class Feed(FeedApi):
    """A service with streams, and a command."""

    @stream
    async def lines(self, about: str, *, most: int = 3) -> AsyncIterator[str]:
        for _ in range(most):
            yield about

    @stream(endless=True, deadline=1.5, buffer=10)
    async def numbers(self) -> AsyncGenerator[int, None]:
        yield 1

    @command
    async def count(self) -> int:
        async with self.lines("own") as own, super().lines("x") as other:  # type: ignore[safe-super]
            assert_type(own, StreamReader[str])
            assert_type(other, StreamReader[str])
            return len([line async for line in own])


async def check_items(feed: Feed, api: FeedApi) -> None:
    """What a stream gives, of a service and of its interface."""
    async with feed.lines("a", most=1) as lines, api.lines("b") as others, feed.numbers() as numbers:
        assert_type(lines, StreamReader[str])
        async for line in lines:
            assert_type(line, str)
        assert_type(await others.receive(), str)
        assert_type([number async for number in numbers], list[int])
        assert_type(numbers.statistics().received, int)
        wrong: int = await lines.receive()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        print(wrong)


async def first(feed: Feed) -> str:
    """A block that returns needs no return behind it."""
    async with feed.lines("a") as lines:
        return await lines.receive()


async def check_wrong_arguments(feed: Feed) -> None:
    """Type, number and name of the arguments."""
    feed.lines(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    feed.lines()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    feed.lines("a", 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    feed.numbers(most=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_what_is_not_opened(feed: Feed) -> None:
    """A stream is neither iterated over nor awaited before it is open; a command is not entered."""
    async for _ in feed.lines("a"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass
    await feed.lines("a")  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async with feed.count() as _:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass


def check_options(feed: Feed) -> None:
    """Options keep the type of the stream."""
    assert_type(feed.lines.options(buffer=3, deadline=1, buffer_bytes=100)("a"), StreamCall[str])
    feed.lines.options(buffer=3)(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    feed.lines.options(buffer="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    feed.lines.send("a")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def check_streams_by_address(node: Node, feed: Feed) -> None:
    """The declaration gives the type; a name gives none."""
    assert_type(node.stream(".feed", Feed.lines, "a", most=1), StreamCall[str])
    assert_type(feed.stream(feed, FeedApi.lines, "a"), StreamCall[str])
    assert_type(node.stream(".feed", "lines", 1, 2, x=3), StreamCall[Any])
    node.stream(".feed", Feed.lines, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    node.stream(".feed", Feed.count)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def check_a_stream_is_no_command(node: Node) -> None:
    """By its declaration it cannot be called as one."""
    await node.call(".feed", Feed.count)
    await node.call(".feed", Feed.lines, "a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def check_declarations(feed: Feed, api: FeedApi) -> None:
    """On the class it is the declaration, on a reference the bound stream."""
    assert_type(Feed.numbers, Stream[[], int])
    assert_type(feed.numbers, BoundStream[[], int])
    assert_type(feed.numbers.options(), BoundStream[[], int])
    print(api.lines)


class Wrong(Service):
    """What is no stream."""

    @stream  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def no_generator(self) -> int:
        return 1
