"""Stand-ins: services that take the place of those with which the service under test works.

Duty: make one from its interface, with answers that the test chooses.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, TypeVar

import attrs

from trionet.handle import Handle
from trionet.kernel.command import Command
from trionet.kernel.context import handling
from trionet.kernel.declaration import Declaration
from trionet.kernel.service import Service
from trionet.kernel.spec import Spec
from trionet.kernel.stream import Stream

S = TypeVar("S", bound=Service)


@attrs.frozen
class Received:
    """A message that a stand-in received.

    Args:
        command: the name of the command.
        args: the positional arguments.
        kwargs: the arguments by name.
        source: who sent it; None for code outside any service.
    """

    command: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    source: Handle | None


def stand_in(
    interface: Callable[..., S], received: list[Received] | None = None, /, **answers: Any
) -> Spec[S]:
    """Make a service with the commands of another and none of its code; start it as any other.

    Args:
        interface: the service class or interface class whose place it takes.
        received: a list to which each message is appended that it receives.
        answers: by the name of the command: an exception, which is raised; something to call, which is called
            with the arguments, and awaited if it is async; any other value, which is returned.  A command
            without an answer returns None.  Of a stream, that value is what it iterates over, and a stream
            without an answer ends at once.

    Returns:
        What ``start`` takes.

    Raises:
        TypeError: if it is no service class, or has no such command.
    """
    if not isinstance(interface, type) or not issubclass(interface, Service):
        raise TypeError(f"{interface!r} is no class that derives from trionet.Service")
    commands = interface.__trionet_commands__
    unknown = sorted(answers.keys() - commands.keys())
    if unknown:
        known = ", ".join(sorted(commands))
        raise TypeError(f"{', '.join(unknown)}: no command of {interface.__qualname__} (commands: {known})")
    body: dict[str, Any] = {
        name: _declared(each, answers.get(name), received) for name, each in commands.items()
    }
    body |= {"__init__": Service.__init__, "setup": Service.setup, "teardown": Service.teardown}
    body["__module__"] = interface.__module__
    return Spec(type(f"StandInFor{interface.__name__}", (interface,), body))


def _declared(declared: Declaration, answer: Any, received: list[Received] | None) -> Declaration:
    signature = inspect.signature(declared.__wrapped__)

    async def handler(self: Service, *args: Any, **kwargs: Any) -> Any:
        signature.bind(self, *args, **kwargs)
        request = handling.get()
        if received is not None:
            source = None if request is None else request.source_handle()
            received.append(Received(declared.name, args, kwargs, source))
        if isinstance(answer, BaseException):
            raise answer
        if not callable(answer):
            return answer
        result = answer(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    async def generator(self: Service, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        items = await handler(self, *args, **kwargs)
        if isinstance(items, AsyncIterable):
            async for item in items:
                yield item
        else:
            for item in items or ():
                yield item

    method = generator if declared.is_stream else handler
    method.__name__ = declared.name
    method.__doc__ = declared.__doc__
    if isinstance(declared, Stream):
        return Stream(method, endless=declared.endless, deadline=declared.deadline, buffer=declared.buffer)
    return Command(method, shielded=declared.shielded, deadline=declared.deadline)
