"""The base class of services: what the author of a service writes, and what is there for them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, MutableMapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, ParamSpec, Self, TypeVar, overload
from weakref import WeakValueDictionary

import trio

from trionet.errors import DeadlineExceeded
from trionet.handle import Handle
from trionet.kernel.command import (
    DEFAULT_OPTIONS,
    BoundCommand,
    CallOptions,
    Command,
    command_labels,
    command_name,
    named,
)
from trionet.kernel.declaration import Declaration
from trionet.kernel.service_class import (
    ServiceOptions,
    check_overrides,
    chosen_options,
    collect_commands,
    no_such_option,
)
from trionet.kernel.stream import Stream, StreamOptions
from trionet.kernel.stream_reader import OwnReader, StreamCall

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.node import Node
    from trionet.kernel.spec import Spec
    from trionet.kernel.supervise import Restart
    from trionet.kernel.watch import Watch

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Service")

#: Service classes by "module:Class", for references that come from elsewhere.
SERVICE_CLASSES: Final[WeakValueDictionary[str, type[Service]]] = WeakValueDictionary()


class Service:
    """An actor: state, commands that others call, tasks of its own.

    Derive from it, write an ``__init__`` as for any class (it need not call this one), and declare
    commands with :func:`~trionet.command`.  Class options are given in the class statement::

        class Room(Service, concurrency=1, inbox=100): ...

    Args:
        concurrency: handlers that may run at a time.
        inbox: messages that the inbox holds.
        overflow: ``"wait"`` or ``"reject"``.
        deadline: default deadline of calls, in seconds.
    """

    __trionet_options__: ClassVar[ServiceOptions] = ServiceOptions()
    __trionet_commands__: ClassVar[dict[str, Declaration]] = {}
    _trionet_actor: Actor | None = None

    def __init_subclass__(
        cls,
        *,
        concurrency: int | None = None,
        inbox: int | None = None,
        overflow: Literal["wait", "reject"] | None = None,
        deadline: float | None = None,
        **rest: Any,
    ) -> None:
        """Read the options of the class statement and collect the commands.

        Raises:
            TypeError: if an option is unknown, a command hides a part of Service, or is
                hidden by what is no command, or a method that is awaited is no ``async def``.
            ValueError: if an option breaks its rule.
        """
        try:
            super().__init_subclass__(**rest)
        except TypeError as error:
            if not rest:
                raise
            raise no_such_option(cls, rest, error) from None
        given = {"concurrency": concurrency, "inbox": inbox, "overflow": overflow, "deadline": deadline}
        cls.__trionet_options__ = chosen_options(cls, cls.__trionet_options__, given)
        cls.__trionet_commands__ = collect_commands(cls, Service)
        check_overrides(cls)
        SERVICE_CLASSES[f"{cls.__module__}:{cls.__qualname__}"] = cls

    # what an author may override

    async def setup(self) -> None:
        """Prepare, before the service is announced; raising fails whoever started it.

        An override is ``async def`` too, as that of each of these methods but :meth:`debug_info`.

        Cancellation: it is cancelled when the start deadline passes, the starter is cancelled or the
        service is ended meanwhile; the start has then failed.
        """

    async def teardown(self) -> None:
        """Clean up when the service stops in order; it may call and send, within the grace time.

        Cancellation: it is cancelled when the grace time is over, or the service is killed meanwhile.
        """

    async def child_failed(self, child: Handle, error: BaseException) -> None:
        """A child failed and its restart policy, if any, gave up; by default this service fails too.

        Cancellation: it runs in the nursery of this service, and is cancelled with it.

        Raises:
            BaseException: raising ends this service as failed.
        """
        raise error

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        """A global name now belongs to another service; by default this one stops, or is killed.

        Killed is one that was started with ``exclusive``: where there may be one at most, there is no time
        for an end in order.

        Cancellation: it runs in the nursery of this service, and is cancelled with it.

        Args:
            name: the name.
            owner: who has it now, or None when it was withdrawn because the master is silent.
        """
        self._actor.log.warning("%s lost its name %r and stops", self._actor.describe(), name)
        await self.stop()

    def debug_info(self) -> object:
        """Tell of the service what the console's ``info`` shows; any value, by default None."""
        return None

    # what is there for an author

    @property
    def _actor(self) -> Actor:
        if self._trionet_actor is None:
            raise RuntimeError(f"this {type(self).__qualname__} was not started by a node")
        return self._trionet_actor

    @property
    def node(self) -> Node:
        """The node that the service lives on."""
        return self._actor.node

    @property
    def handle(self) -> Handle:
        """The identity of this service."""
        return self._actor.handle

    @property
    def nursery(self) -> trio.Nursery:
        """The nursery for helper tasks, open from ``setup`` on and cancelled when the service ends.

        An exception in one of its tasks ends the service.
        """
        if self._actor.nursery is None:
            raise RuntimeError(f"the nursery of {self._actor.describe()} is closed")
        return self._actor.for_helpers(self._actor.nursery)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """The logger of the service; handle and name are in every record."""
        return _ServiceLog(self._actor)

    def ref(self) -> Self:
        """A reference to this service, to hand to others."""
        reference: Self = self.node.ref(self.handle, type(self))
        return reference

    @overload
    def call(
        self, target: Any, command: Command[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(self, target: Any, command: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]: ...
    def call(self, target: Any, command: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call a command by address; as :meth:`trionet.Node.call`."""
        return self.node.call(target, command, *args, **kwargs)

    @overload
    def send(
        self, target: Any, command: Command[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, None]: ...
    @overload
    def send(self, target: Any, command: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]: ...
    def send(self, target: Any, command: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Send a command by address; as :meth:`trionet.Node.send`."""
        return self.node.send(target, command, *args, **kwargs)

    @overload
    def stream(
        self, target: Any, stream: Stream[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> StreamCall[R]: ...
    @overload
    def stream(self, target: Any, stream: str, /, *args: Any, **kwargs: Any) -> StreamCall[Any]: ...
    def stream(self, target: Any, stream: Any, /, *args: Any, **kwargs: Any) -> StreamCall[Any]:
        """Call a stream by address; as :meth:`trionet.Node.stream`."""
        return self.node.stream(target, stream, *args, **kwargs)

    async def start(
        self,
        what: Spec[S] | Callable[[], S],
        *,
        name: str | None = None,
        restart: Restart | None = None,
    ) -> S:
        """Start a child: a service that ends with this one.

        Args, Cancellation, Returns, Raises: as :meth:`trionet.Node.start`.  Children end youngest first.
        """
        return await self.node.start_child(self._actor, what, name=name, restart=restart)

    async def stop(self, target: Any = None) -> None:
        """Stop another service and wait for its end; or, without a target, ask this one to stop.

        Asking oneself returns at once: the handler that asked may still return its value.

        Cancellation: the service stops all the same.

        Args:
            target: a reference, handle or name; None for this service.
        """
        if target is None:
            actor = self._actor
            actor.request_stop(trio.current_time() + actor.node.config.stop_grace)
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await self.node.stop(target)

    def watch(self, target: Any) -> AbstractAsyncContextManager[Watch]:
        """Watch for the end of another service; as :meth:`trionet.Node.watch`."""
        return self.node.watch(target)

    # how commands of `self` work: a call is a plain method call, a send goes through the inbox

    def __trionet_command__(self, command: Command[Any, Any]) -> BoundCommand[Any, Any]:
        """Give what a command of this service is called and sent with by the service itself."""
        return _OwnCommand(self, command)

    def __trionet_stream__(
        self,
        declared: Stream[Any, Any],
        options: StreamOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StreamCall[Any]:
        """Run the generator in place, also one of a base class by way of ``super()``."""
        return StreamCall(partial(_own_reader, declared.generator(self, *args, **kwargs)), declared.label)

    @classmethod
    def has_setup(cls) -> bool:
        """Whether the class has a ``setup`` of its own."""
        return cls.setup is not Service.setup

    @classmethod
    def has_name_lost(cls) -> bool:
        """Whether the class has a ``name_lost`` of its own."""
        return cls.name_lost is not Service.name_lost

    @classmethod
    def has_teardown(cls) -> bool:
        """Whether the class has a ``teardown`` of its own."""
        return cls.teardown is not Service.teardown


class _OwnCommand(BoundCommand[Any, Any]):
    """A command of a service that means itself; to send it never waits."""

    __slots__ = ("_service",)

    def __init__(self, service: Service, command: Any, options: CallOptions = DEFAULT_OPTIONS) -> None:
        self._service = service
        self._command = command
        self._options = options

    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run the method, as a method call does, also one of a base class by way of ``super()``."""
        return named(self._run(args, kwargs), command_labels(self._command)[0])

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        command: Any = self._command
        result = command.function(self._service, *args, **kwargs)
        if not command.is_async:
            return result
        deadline = self._options.deadline
        with trio.move_on_after(inf if deadline is None else deadline):
            return await result
        text = f"{command.name} of {type(self._service).__qualname__} ran out of time and was cancelled"
        raise DeadlineExceeded(text, executed=True)

    def send(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Send to oneself; it never waits."""
        service = self._service
        return service.node.send(service.handle, self._command, *args, **kwargs)

    def send_nowait(self, *args: Any, **kwargs: Any) -> None:
        """Send to oneself; there is always room."""
        service = self._service
        service.node.send_command_nowait(service.handle, self._command, args, kwargs)

    def _with(self, options: CallOptions) -> BoundCommand[Any, Any]:
        return _OwnCommand(self._service, self._command, options)

    def __repr__(self) -> str:
        return f"<command {command_name(self._command)} of {self._service!r}>"


async def _own_reader(generator: AsyncGenerator[Any, None]) -> OwnReader:
    return OwnReader(generator)


class _ServiceLog(logging.LoggerAdapter[logging.Logger]):
    """Puts handle and name of the service into each record."""

    def __init__(self, actor: Actor) -> None:
        super().__init__(actor.log, {"service": str(actor.handle), "service_name": actor.label})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs
