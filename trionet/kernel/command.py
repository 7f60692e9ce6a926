"""Commands: the methods of a service that others may call (typed on both sides).

Duty: the :func:`command` decorator, and what an attribute access on a reference or a service gives.

A command is found in the explicit table of its class and nowhere else, so a name that comes from the
network reaches nothing but declared commands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

import attrs

from trionet.config import seconds
from trionet.handle import Handle
from trionet.kernel.declaration import Declaration
from trionet.kernel.trio_inside import POSSIBLE

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C", bound=Coroutine[Any, Any, Any])


@attrs.frozen
class CallOptions:
    """What can be chosen for one call or send.

    Args:
        deadline: seconds that the call may take; it applies besides any cancel scope of the caller.
    """

    deadline: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(seconds(zero=True))
    )


DEFAULT_OPTIONS = CallOptions()
_Functions = tuple[Callable[..., Coroutine[Any, Any, Any]], Callable[..., Coroutine[Any, Any, None]]]


class Messenger(Protocol):
    """The node, as a command needs it."""

    def call_command(
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> Coroutine[Any, Any, Any]:
        """Call and wait for the result."""

    def send_command(
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Coroutine[Any, Any, None]:
        """Send, and wait for room."""

    def send_command_nowait(
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Send, if there is room."""


class Peer(Protocol):
    """What has commands: a reference, or a service that means itself."""

    def __trionet_command__(self, command: Command[Any, Any]) -> BoundCommand[Any, Any]:
        """Give what a command is called and sent with."""


class BoundCommand(Generic[P, R_co]):
    """A command of one certain service: call it, or send it.

    It is what ``reference.command`` gives.  Awaiting the call is the whole of it::

        text = await greeter.greet("Trio")
    """

    __slots__ = ("_call", "_command", "_messenger", "_options", "_send", "_target")

    def __init__(
        self,
        messenger: Messenger,
        target: Handle | str,
        command: str | Command[Any, Any],
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> None:
        self._messenger = messenger
        self._target = target
        self._command = command
        self._options = options
        self._call, self._send = _functions_of(type(messenger), command)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the command; the result must be awaited.

        Waits for room in the inbox, for a free slot, and for the handler to end.

        Cancellation: cancels the handler, wherever it runs; the call ends when the handler has.

        Returns:
            A copy of what the handler returned.

        Raises:
            CallError: one of its subclasses says why there is no result, and ``executed`` whether the
                handler started.
            Exception: a declared exception class (see :func:`trionet.value`) that the handler raised.
        """
        return self._call(self._messenger, self._target, self._command, args, kwargs, self._options)

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]:
        """Send the command one-way; must be awaited.

        Waits for room in the inbox, not for the handler.  A message that does not arrive is a dead
        letter on this node.

        Cancellation: while it waits for room the message is withdrawn.

        Raises:
            BadMessage: if an argument is no value, or the message is too large.
            ServiceBusy: if there is no room and the service chose ``overflow="reject"``.
            Deadlock: if waiting for room would close a circle of services that wait on each other.
        """
        return self._send(self._messenger, self._target, self._command, args, kwargs)

    def send_nowait(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Send the command one-way, if there is room in the inbox right now.

        Raises:
            trio.WouldBlock: if there is none.
            BadMessage: if an argument is no value, or the message is too large.
        """
        self._messenger.send_command_nowait(self._target, self._command, args, kwargs)

    def options(self, *, deadline: float | None = None) -> BoundCommand[P, R_co]:
        """Return the same command with other options.

        Args:
            deadline: seconds that each call may take; with 0 it has a result only if nothing has to wait.

        Raises:
            ValueError: if the deadline is no number of seconds, 0 or more.
        """
        return self._with(CallOptions(deadline))

    def _with(self, options: CallOptions) -> BoundCommand[P, R_co]:
        return BoundCommand(self._messenger, self._target, self._command, options)

    def __repr__(self) -> str:
        return f"<command {command_name(self._command)} of {self._target}>"


class Command(Declaration, Generic[P, R_co]):
    """A declared command of a service class; made by :func:`command`.

    Attributes:
        name: the name that messages carry.
        function: the handler.
        shielded: whether the handler runs on when its caller goes away.
        endless: whether its handlers end at once when their service stops in order.
        deadline: default deadline in seconds, or None for the node's.
        in_place: whether the handler may begin before its sender goes on, if its service is idle.
        abstract: whether it is declared for an interface, without a body.
        labels: how the coroutines of its calls and sends are named.
        functions: what makes these coroutines, by the class of the node.
    """

    kind: ClassVar[str] = "@command"

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        shielded: bool = False,
        endless: bool = False,
        deadline: float | None = None,
    ) -> None:
        self.declare(function, deadline)
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(
                f"{function.__qualname__} is a generator; a command returns or is a coroutine, "
                "and @stream is for async generators"
            )
        self.function = function
        self.labels: tuple[str, str] = (self.label, f"{self.label}.send")
        self.functions: dict[type, _Functions] = {}
        self.shielded = shielded
        self.endless = endless
        self.is_async: bool = inspect.iscoroutinefunction(function)
        self.in_place: bool = POSSIBLE or not self.is_async

    @overload
    def __get__(self, instance: None, owner: Any) -> Command[P, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: Any) -> BoundCommand[P, R_co]: ...
    def __get__(self, instance: Any, owner: Any) -> Any:
        """Give the declaration on the class, and the bound command on a service or a reference."""
        if instance is None:
            return self
        peer: Peer = instance
        return peer.__trionet_command__(self)


def command_name(command: str | Command[Any, Any]) -> str:
    """The name that messages carry.

    Raises:
        TypeError: if it is neither the name of a command nor its declaration.
    """
    if isinstance(command, str):
        return command
    if isinstance(command, Command):
        return command.name
    raise TypeError(f"{command!r} is no command: expected its name, or its declaration as Greeter.greet")


def command_labels(command: str | Command[Any, Any]) -> tuple[str, str]:
    """How the coroutines of a command are named: that of a call, and that of a send."""
    return command.labels if isinstance(command, Command) else (str(command), f"{command}.send")


def named(coroutine: C, name: str) -> C:
    """The same coroutine under the name by which Python warns of it if nobody awaits it."""
    nameable: Any = coroutine
    nameable.__qualname__ = name
    return coroutine


def _functions_of(messenger: type, command: str | Command[Any, Any]) -> _Functions:
    """What calls and what sends a command.

    Of a declared one they have its name, and so their coroutines: to name each would cost each message.
    """
    whole: Any = messenger
    if isinstance(command, str):
        return whole.call_command, whole.send_command
    known = command.functions.get(messenger)
    if known is None:
        call, send = command.labels
        known = _renamed(whole.call_command, call), _renamed(whole.send_command, send)
        command.functions[messenger] = known
    return known


def _renamed(function: FunctionType, name: str) -> FunctionType:
    """The same function under another name."""
    same = FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    same.__qualname__ = name
    return same


class _Declare(Protocol):
    """``@command(...)`` with options, waiting for its function."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> Command[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Command[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        """Declare the function."""


@overload
def command(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Command[P, R]: ...
@overload
def command(function: Callable[Concatenate[Any, P], R], /) -> Command[P, R]: ...
@overload
def command(*, shielded: bool = False, endless: bool = False, deadline: float | None = None) -> _Declare: ...
def command(
    function: Any = None,
    /,
    *,
    shielded: bool = False,
    endless: bool = False,
    deadline: float | None = None,
) -> Any:
    """Declare a method of a service as a command that others may call.

    Both ``async def`` and ``def`` will do; callers await it all the same.  In an interface class the
    method is also ``@abstractmethod`` and has no body.

    Args:
        shielded: the handler runs on when its caller is cancelled or out of time; the wait for it ends
            at once.
        endless: the handler may wait as long as it likes, so when its service stops in order it is cancelled
            at once, and not given the grace time.
        deadline: seconds that a call may take where the caller has no deadline of its own.

    Raises:
        TypeError: if it is no plain function with a ``self``, a generator, or private by its name.
        ValueError: if the deadline is no number of seconds above 0.
    """
    if function is not None:
        return Command(function)

    def declare(function: Callable[..., Any], /) -> Command[Any, Any]:
        return Command(function, shielded=shielded, endless=endless, deadline=deadline)

    return declare
