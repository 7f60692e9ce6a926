"""The node: one Trio run that owns services, names and the way to other nodes.

Duty: the public surface of a node; its parts are messages (:mod:`trionet.kernel.messaging`), names
(:mod:`trionet.kernel.naming`), the life of services (:mod:`trionet.kernel.lifecycle`) and what is measured
(:mod:`trionet.kernel.measuring`).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ParamSpec, TypeVar, overload

import trio

from trionet.config import NodeConfig
from trionet.handle import Handle, check_name
from trionet.kernel.actor import Actor
from trionet.kernel.command import Command, command_labels, command_name, named
from trionet.kernel.exceptions import only_one, split_cancelled
from trionet.kernel.measuring import Measuring
from trionet.kernel.monitor import Monitor
from trionet.kernel.network import Cluster, Network
from trionet.kernel.reference import make_reference, target_of
from trionet.kernel.seams import Seams
from trionet.kernel.service import Service
from trionet.kernel.snapshots import Snapshot, take
from trionet.kernel.stream import DEFAULT_STREAM_OPTIONS, Stream
from trionet.kernel.stream_reader import StreamCall
from trionet.kernel.watch import Exit, Watch

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Service)
T = TypeVar("T")


class Node(Measuring):
    """A container of services; made by :func:`open_node`."""

    def __init__(
        self, nursery: trio.Nursery, config: NodeConfig, seams: Seams, network: Network | None
    ) -> None:
        super().__init__(nursery, config, seams, network)
        self.monitor: Monitor = Monitor(self)
        self._extensions: dict[object, Any] = {}

    @property
    def name(self) -> str:
        """The node's name in logs."""
        return self.config.name

    @property
    def harbor(self) -> int:
        """The node's harbor id; 0 without a cluster."""
        return self.network.harbor

    @property
    def cluster(self) -> Cluster:
        """The cluster as this node sees it (nodes, links, groups, events); there also without one."""
        return self.network

    # addresses and messages

    def handle_of(self, target: Any) -> Handle:
        """The handle that an address stands for at present.

        Args:
            target: a reference, a name, the text of a handle, or a handle, which is returned as it is.

        Raises:
            NoSuchService: if nobody owns the name.
            ServiceRestarting: if the owner of the name is about to be started again.
            NodeDown: for the text of a handle on a node without a link.
        """
        address = target_of(target)
        if isinstance(address, Handle):
            return address
        if address.startswith(":"):
            return self.parse_handle(address)
        where = self.locate(address)
        return where.handle if isinstance(where, Actor) else where

    @overload
    def ref(self, target: Any, interface: Callable[..., S]) -> S: ...
    @overload
    def ref(self, target: Any) -> Any: ...
    def ref(self, target: Any, interface: Any = None) -> Any:
        """Make a reference from an address.

        Args:
            target: a name (the reference finds its owner anew at each message), a handle, the text of a
                handle, or a reference.
            interface: the service class, or an interface class that it derives from; without it the
                reference takes any command.

        Raises:
            ValueError: if the text is neither a name nor a handle.
            NodeDown: for the text of a handle on a node without a link.
        """
        if interface is not None and not (isinstance(interface, type) and issubclass(interface, Service)):
            raise TypeError(f"{interface!r} is no class that derives from trionet.Service")
        address = target_of(target)
        if isinstance(address, str):
            address = self.parse_handle(address) if address.startswith(":") else check_name(address)
        return make_reference(self, address, interface)

    @overload
    def call(
        self, target: Any, command: Command[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def call(self, target: Any, command: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]: ...
    def call(self, target: Any, command: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Call a command by address; must be awaited.

        Args:
            target: a reference, handle, name, or the text of a handle.
            command: the command (``Greeter.greet``, which is typed) or its name.

        Cancellation, Returns, Raises: as :meth:`trionet.BoundCommand.__call__`.
        """
        return named(self.call_command(target_of(target), command, args, kwargs), command_labels(command)[0])

    @overload
    def send(
        self, target: Any, command: Command[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, None]: ...
    @overload
    def send(self, target: Any, command: str, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]: ...
    def send(self, target: Any, command: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, None]:
        """Send a command by address, one-way; must be awaited.

        Args: as :meth:`call`.

        Cancellation, Raises: as :meth:`trionet.BoundCommand.send`.
        """
        return named(self.send_command(target_of(target), command, args, kwargs), command_labels(command)[1])

    @overload
    def send_nowait(
        self, target: Any, command: Command[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def send_nowait(self, target: Any, command: str, /, *args: Any, **kwargs: Any) -> None: ...
    def send_nowait(self, target: Any, command: Any, /, *args: Any, **kwargs: Any) -> None:
        """Send a command by address, if there is room right now.

        Args: as :meth:`call`.

        Raises:
            trio.WouldBlock: if there is no room.
            BadMessage: if an argument is no value, or the message is too large.
        """
        self.send_command_nowait(target_of(target), command_name(command), args, kwargs)

    @overload
    def stream(
        self, target: Any, stream: Stream[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> StreamCall[R]: ...
    @overload
    def stream(self, target: Any, stream: str, /, *args: Any, **kwargs: Any) -> StreamCall[Any]: ...
    def stream(self, target: Any, stream: Any, /, *args: Any, **kwargs: Any) -> StreamCall[Any]:
        """Call a stream by address; ``async with`` opens it.

        Args:
            target: a reference, handle, name, or the text of a handle.
            stream: the stream (``World.events``, which is typed) or its name.
        """
        return self.call_stream(target_of(target), stream, DEFAULT_STREAM_OPTIONS, args, kwargs)

    def watch(self, target: Any) -> AbstractAsyncContextManager[Watch]:
        """Watch for the end of a service: ``async with node.watch(room) as exit: await exit.wait()``.

        Tells exactly once: at once if it is dead already (C15).  Leaving the block leaves nothing behind.

        Args:
            target: a reference, handle or name; a name stands for its present owner.

        Raises:
            NoSuchService: if nobody owns the name.
        """
        return self._watch(target_of(target))

    @asynccontextmanager
    async def _watch(self, target: Handle | str) -> AsyncIterator[Watch]:
        handle = self.handle_of(target)
        watch = Watch(handle)
        end: Callable[[], None] | None = None
        if handle.incarnation == self.incarnation:
            actor = self.actors.get(handle.local)
            if actor is None:
                watch.tell(self.remembered_exit(handle))
            else:
                end = actor.watch(watch.tell)
        elif handle.harbor == self.harbor:
            watch.tell(Exit(handle, "node down"))
        else:
            end = self.network.watch(handle, watch.tell)
        try:
            yield watch
        finally:
            if end is not None:
                end()

    # for libraries

    def snapshot(self, item: T, label: str = "item") -> Snapshot[T]:
        """Copy a value as a message is copied, for any number of receivers.

        Args:
            item: the value.
            label: what it is, the first part of the path in an error text.

        Raises:
            BadMessage: if it holds anything that is no value, or is too large.
        """
        return take(item, label, self.limits, self.resolve_reference)

    def extension(self, kind: Callable[[], T]) -> T:
        """The one object of a class that belongs to this node; made when it is first asked for.

        It is where a library keeps what it knows for each node.

        Args:
            kind: the class, which needs no arguments.
        """
        found = self._extensions.get(kind)
        if found is None:
            found = self._extensions[kind] = kind()
        made: T = found
        return made

    # its own life

    async def run_sync(self, function: Callable[..., R], *args: Any) -> R:
        """Run a blocking function in a worker thread (inline in a simulation).

        Cancellation: waits for the function all the same.

        Returns:
            What the function returned.
        """
        result: R = await self.seams.run_sync(function, *args)  # type: ignore[misc]
        return result

    async def serve_forever(self) -> None:
        """Wait until the node is asked to stop.

        Cancellation: changes nothing.
        """
        await self._shutdown.wait()

    def shutdown(self) -> None:
        """Ask the node to stop in order: :meth:`serve_forever` returns."""
        self._shutdown.set()


def _name_parts_as(cls: type) -> None:
    """Let Python's own texts say ``Node.start``, whichever part of a node the method is in."""
    for part in cls.__mro__[1:-1]:
        for name, each in vars(part).items():
            if inspect.isfunction(each) and not name.startswith("_"):
                each.__qualname__ = f"{cls.__qualname__}.{name}"


_name_parts_as(Node)


@asynccontextmanager
async def open_node(
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    *,
    seams: Seams | None = None,
    network: Network | None = None,
) -> AsyncIterator[Node]:
    """Open a node for the block; leaving it stops all services in order.

    Cancellation: when the block ends by it the services are killed instead; so cancel only what should
    not end in order, and otherwise let the block end or call :meth:`Node.shutdown`.

    Args:
        config: the node's settings.
        seams: chance, clock and threads; a simulation brings its own.
        network: the way to other nodes; by default there are none.

    Raises:
        Exception: what the block raised, once the services have stopped.
        InternalError: a bug of trionet, which ends the node.
        RuntimeError: if Trio does not run, such as in a program of asyncio.
    """
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("a node is opened in Trio: within trio.run(main), or by trionet.run(main)")
    failure: BaseException | None = None
    try:
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            node = Node(nursery, config, seams or Seams(), network)
            nursery.start_soon(node.deadlines.run)
            async with node.monitor.watching(), node.network.running(node):
                try:
                    yield node
                except BaseException as error:
                    if split_cancelled(error)[0]:
                        node.abort()
                        raise
                    failure = error
                node.network.leaving()
                await node.close()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        only = only_one(group)
        raise only from only.__cause__
    if failure is not None:
        raise failure
