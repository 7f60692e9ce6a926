"""References without an interface: a name of which nobody knows whether it is a command or a stream.

Duty: what an attribute access on such a reference gives.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trionet.kernel.command import DEFAULT_OPTIONS, BoundCommand, CallOptions, named
from trionet.kernel.stream import DEFAULT_STREAM_OPTIONS, StreamOptions
from trionet.kernel.stream_reader import StreamCall, StreamReader

if TYPE_CHECKING:
    from trionet.kernel.reference import Reference


class UntypedMethod(BoundCommand[Any, Any]):
    """A command or a stream of a service, whichever it proves to be."""

    __slots__ = ("_reference", "_stream_options")

    def __init__(
        self,
        reference: Reference,
        name: str,
        options: CallOptions = DEFAULT_OPTIONS,
        stream_options: StreamOptions = DEFAULT_STREAM_OPTIONS,
    ) -> None:
        super().__init__(reference._node, reference._target, name, options)
        self._reference = reference
        self._stream_options = stream_options

    def __call__(self, *args: Any, **kwargs: Any) -> UntypedCall:
        """Call the command, if the result is awaited; open the stream, if it is entered.

        Cancellation, Raises: as :meth:`trionet.BoundCommand.__call__`, or :class:`trionet.StreamCall`.
        """
        name: Any = self._command
        stream = partial(self._reference.__trionet_stream__, name, self._stream_options, args, kwargs)
        return UntypedCall(named(super().__call__(*args, **kwargs), name), stream)

    def send(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Send the command one-way; see :meth:`trionet.BoundCommand.send`."""
        return named(super().send(*args, **kwargs), f"{self._command}.send")

    def options(
        self, *, deadline: float | None = None, buffer: int | None = None, buffer_bytes: int | None = None
    ) -> UntypedMethod:
        """Return the same with other options; see :meth:`trionet.BoundStream.options`."""
        name: Any = self._command
        chosen = StreamOptions(deadline, buffer, buffer_bytes)
        return UntypedMethod(self._reference, name, CallOptions(deadline), chosen)


class UntypedCall(Coroutine[Any, Any, Any]):
    """The coroutine of a call, that may be entered instead, as a stream."""

    __slots__ = ("_call", "_call_stream", "_stream")

    def __init__(self, call: Coroutine[Any, Any, Any], call_stream: Callable[[], StreamCall[Any]]) -> None:
        self._call = call
        self._call_stream = call_stream
        self._stream: StreamCall[Any] | None = None

    def __await__(self) -> Any:
        return self._call.__await__()

    def send(self, value: Any) -> Any:
        """Go on with the call."""
        return self._call.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise in the call."""
        return self._call.throw(*error)

    def close(self) -> None:
        """Drop the call."""
        self._call.close()

    async def __aenter__(self) -> StreamReader[Any]:
        """Open the stream."""
        self._call.close()
        if self._stream is None:
            self._stream = self._call_stream()
        return await self._stream.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the stream."""
        assert self._stream is not None
        await self._stream.__aexit__(kind, error, trace)
