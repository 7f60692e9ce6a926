"""Streams: the methods of a service that give others one item after another (typed on both sides).

Duty: the :func:`stream` decorator, and what an attribute access on a reference or a service gives.  How a
stream runs is in :mod:`trionet.kernel.producing` (the handler) and :mod:`trionet.kernel.consuming` (the
other end).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import attrs

from trionet.config import seconds
from trionet.kernel.declaration import Declaration
from trionet.kernel.producing import begin
from trionet.kernel.stream_reader import StreamCall

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class StreamOptions:
    """What can be chosen for one stream; None takes what is declared, or else the default.

    Args:
        deadline: seconds that opening may take.
        buffer: items that may wait at the consumer.
        buffer_bytes: bytes that these may have before no more are sent.
    """

    deadline: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(seconds(zero=True))
    )
    buffer: int | None = None
    buffer_bytes: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("buffer", "buffer_bytes"):
            chosen = getattr(self, name)
            if chosen is not None and not (type(chosen) is int and 1 <= chosen < 1 << 31):
                raise ValueError(f"{name} is a number from 1 to {(1 << 31) - 1}, not {chosen!r}")


DEFAULT_STREAM_OPTIONS = StreamOptions()


class StreamPeer(Protocol):
    """What a stream is opened through: a reference, or a service that means itself."""

    def __trionet_stream__(
        self,
        declared: str | Stream[Any, Any],
        options: StreamOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StreamCall[Any]:
        """Prepare to open the stream."""


class BoundStream(Generic[P, T_co]):
    """A stream of one certain service: what ``reference.stream`` gives.

    Calling it sends nothing yet; entering the block opens the stream::

        async with world.events("lobby") as events:
            async for event in events:
                ...
    """

    __slots__ = ("_declared", "_options", "_peer")

    def __init__(
        self, peer: StreamPeer, declared: Stream[Any, Any], options: StreamOptions = DEFAULT_STREAM_OPTIONS
    ) -> None:
        self._peer = peer
        self._declared = declared
        self._options = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> StreamCall[T_co]:
        """Choose the arguments; ``async with`` opens the stream."""
        return self._peer.__trionet_stream__(self._declared, self._options, args, kwargs)

    def options(
        self, *, deadline: float | None = None, buffer: int | None = None, buffer_bytes: int | None = None
    ) -> BoundStream[P, T_co]:
        """Return the same stream with other options.

        Args:
            deadline: seconds that opening may take; once it is open, a stream has no deadline.
            buffer: items that may wait at the consumer before the producer has to wait.
            buffer_bytes: bytes of items from which on the producer has to wait as well.

        Raises:
            ValueError: if one of them is out of its range.
        """
        return BoundStream(self._peer, self._declared, StreamOptions(deadline, buffer, buffer_bytes))

    def __repr__(self) -> str:
        return f"<stream {self._declared.name} of {self._peer!r}>"


class Stream(Declaration, Generic[P, T_co]):
    """A declared stream of a service class; made by :func:`stream`.

    Attributes:
        name: the name that messages carry.
        generator: the method, an async generator.
        deadline: seconds that opening may take, or None for the node's default.
        buffer: items that may wait at a consumer who chose nothing, or None for the default.
        endless: whether its handlers end at once when their service stops in order.
        abstract: whether it is declared for an interface, without a body.
    """

    kind: ClassVar[str] = "@stream"
    is_stream: ClassVar[bool] = True

    def __init__(
        self,
        generator: Callable[..., Any],
        *,
        endless: bool = False,
        deadline: float | None = None,
        buffer: int | None = None,
    ) -> None:
        self.declare(generator, deadline)
        StreamOptions(buffer=buffer)
        if self.abstract:
            if inspect.iscoroutinefunction(generator):
                raise TypeError(
                    f"{generator.__qualname__} has no yield, and so is no async generator: "
                    "without a body it is declared by `def`, not `async def`"
                )
        elif not inspect.isasyncgenfunction(generator):
            raise TypeError(
                f"{generator.__qualname__} is no async generator: a stream is an `async def` with `yield`"
            )
        self.generator: Callable[..., Any] = generator
        self.buffer: int | None = buffer
        self.endless: bool = endless
        self.shielded: bool = False
        self.is_async: bool = True

    def function(self, instance: object, /, *args: Any, **kwargs: Any) -> Any:
        """Begin a stream; the dispatcher calls it."""
        return begin(self, instance, args, kwargs)

    @overload
    def __get__(self, instance: None, owner: Any) -> Stream[P, T_co]: ...
    @overload
    def __get__(self, instance: object, owner: Any) -> BoundStream[P, T_co]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        """Give the declaration on the class, and the bound stream on a service or a reference."""
        if instance is None:
            return self
        return BoundStream(instance, self)


class _Declare(Protocol):
    """``@stream(...)`` with options, waiting for its method."""

    def __call__(self, generator: Callable[Concatenate[Any, P], AsyncIterator[T]], /) -> Stream[P, T]:
        """Declare the method."""


@overload
def stream(generator: Callable[Concatenate[Any, P], AsyncIterator[T]], /) -> Stream[P, T]: ...
@overload
def stream(
    *, endless: bool = False, deadline: float | None = None, buffer: int | None = None
) -> _Declare: ...
def stream(
    generator: Any = None,
    /,
    *,
    endless: bool = False,
    deadline: float | None = None,
    buffer: int | None = None,
) -> Any:
    """Declare a method of a service as a stream: an async generator whose items go to whoever opened it.

    The generator runs as a handler of the service, from the first step to the end.  Each ``yield`` is a
    wait like any other: it returns when there is room for one more item, and raises
    ``trio.Cancelled`` when the consumer has left.  In an interface class the method is a plain ``def`` that
    is also ``@abstractmethod``, has no body and returns an ``AsyncIterator``.

    Args:
        endless: the stream has no end of its own: when its service stops in order it is cancelled at
            once, and not given the grace time.
        deadline: seconds that opening may take where the consumer has no deadline of its own.
        buffer: items that may wait at a consumer who chose nothing else.

    Raises:
        TypeError: if it is no async generator, or private by its name.
        ValueError: if a number is out of its range.
    """
    if generator is not None:
        return Stream(generator)

    def declare(generator: Callable[..., Any], /) -> Stream[Any, Any]:
        return Stream(generator, endless=endless, deadline=deadline, buffer=buffer)

    return declare


def stream_name(declared: str | Stream[Any, Any]) -> str:
    """The name that messages carry.

    Raises:
        TypeError: if it is neither the name of a stream nor its declaration.
    """
    if isinstance(declared, str):
        return declared
    if isinstance(declared, Stream):
        return declared.name
    raise TypeError(f"{declared!r} is no stream: expected its name, or its declaration as World.events")
