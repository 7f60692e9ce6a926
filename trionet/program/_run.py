"""One node in one Trio run: from ``main`` to an exit code.

Duty: open the node, run ``main``, stop in order at the first signal and at once at the second.
May import: the network, the kernel, the values, and this package's signals and parent.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVarTuple, overload

import attrs
import trio

from trionet.cluster_config import ClusterConfig
from trionet.config import NodeConfig
from trionet.kernel.network import Network
from trionet.kernel.node import Node, open_node
from trionet.net.console_door import ConsoleDoor
from trionet.program._network import open_harbor
from trionet.program._parent import Parent
from trionet.program._signals import Stage, StopSignals
from trionet.program._standing import start_standing

Ts = TypeVarTuple("Ts")
Main = Callable[..., Awaitable[object]]

EXIT_OK: Final = 0
EXIT_CRASH: Final = 1
EXIT_USAGE: Final = 2
#: EX_TEMPFAIL: the node stopped, but something had to be cut off.
EXIT_CUT_OFF: Final = 75
#: Seconds beyond the grace time that leaving the cluster and the interpreter may take.
_LEAVING: Final = 10.0

_log: Final = logging.getLogger("trionet.run")


async def _nothing(_: Node) -> None:
    pass


def _nothing_more(_: Node) -> None:
    pass


@attrs.frozen
class Launch:
    """What is to run.

    Args:
        main: called as ``await main(node, *args)``; when it returns, the node stops.
        args: more arguments for ``main``.
        config: the node's settings.
        network: the way to other nodes, or None for a node alone.
        prepare: runs on the open node before ``main``; only then the program is ready.
        closed: told when the node has closed, however that came.
        door: where the clients of its console come in, or None for no console.
    """

    main: Main
    args: tuple[Any, ...] = ()
    config: NodeConfig = attrs.field(factory=NodeConfig)
    network: Network | None = None
    prepare: Callable[[Node], Awaitable[None]] = _nothing
    closed: Callable[[Node], None] = _nothing_more
    door: ConsoleDoor | None = None


class _Program:
    """The node of one run, and how a signal ends it."""

    def __init__(self, launch: Launch, stops: StopSignals, parent: Parent) -> None:
        self.launch = launch
        self.stops = stops
        self.parent = parent
        self.node: Node | None = None
        self.everything = trio.CancelScope()
        self.body = trio.CancelScope()
        self._aborted: list[str] = []

    async def serve(self) -> None:
        """Open the node and run ``main``."""
        with self.stops.telling(self.stop), self.everything:
            async with open_node(self.launch.config, network=self.launch.network) as node:
                self.node = node
                with self.body:
                    if not self.stops.count:
                        await self._run(node)

    async def _run(self, node: Node) -> None:
        self.parent.tell("open", harbor=node.harbor, address=node.cluster.nodes().get(node.harbor, ""))
        await start_standing(node, self.launch.door)
        await self.launch.prepare(node)
        self.parent.tell("ready")
        awaitable = self.launch.main(node, *self.launch.args)
        if not inspect.isawaitable(awaitable):
            raise TypeError(f"main returned {awaitable!r}; it must be an async function")
        await awaitable

    def stop(self, name: str) -> None:
        """Stop in order at the first signal, cancel everything at the second, or while the node opens."""
        if self.stops.count == 1:
            _log.info("%s: stopping; a second one cancels at once", name)
            self.body.cancel()
            if self.node is None:
                self.everything.cancel()
            else:
                self.node.shutdown()
            return
        _log.warning("%s: cancelling at once", name)
        if self.node is not None and not self._aborted:
            self._aborted = [
                actor.describe() for actor in self.node.actors.values() if actor.has_things_to_do()
            ]
            self.node.abort()
        self.everything.cancel()

    def cut_off(self) -> list[str]:
        """What had to be cut off, by the deadline or by the second signal."""
        by_deadline = () if self.node is None else self.node.cut_off
        return [*by_deadline, *self._aborted]


def run_node(launch: Launch, stops: StopSignals, parent: Parent) -> int:
    """Run a node until ``main`` returns or a signal stops it; what had to be cut off is logged.

    Returns:
        The exit code: 0, or 75 if something had to be cut off.

    Raises:
        ClusterError: if the node cannot join its cluster, or had to leave it.
        NoConsole: if the console cannot listen at the address that was chosen for it.
        Exception: what ``prepare`` or ``main`` raised.
    """
    program = _Program(launch, stops, parent)
    stops.stage = Stage.RUNNING
    parent.patience = launch.config.stop_grace + _LEAVING
    try:
        trio.run(program.serve)
    finally:
        if program.node is not None:
            launch.closed(program.node)
    cut_off = program.cut_off()
    if not cut_off:
        return EXIT_OK
    _log.error("stopped, but this had to be cut off: %s", "; ".join(cut_off))
    return EXIT_CUT_OFF


@overload
def run(
    main: Callable[[Node], Awaitable[object]],
    config: NodeConfig = ...,
    *,
    cluster: ClusterConfig | None = ...,
) -> None: ...
@overload
def run(
    main: Callable[[Node, *Ts], Awaitable[object]],
    config: NodeConfig = ...,
    *,
    cluster: ClusterConfig | None = ...,
    args: tuple[*Ts],
) -> None: ...
def run(
    main: Callable[..., Awaitable[object]],
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    *,
    cluster: ClusterConfig | None = None,
    args: tuple[Any, ...] = (),
) -> None:
    """Run a node in a Trio run of its own until ``main`` returns or a signal stops it.

    SIGINT or SIGTERM cancels ``main`` and stops the node in order; a second one cancels everything at once;
    a third one ends the process.  In a thread other than the main one, signals are left alone.

    Args:
        main: called as ``await main(node, *args)``; when it returns, the node stops.
        config: the node's settings.
        cluster: its part in a cluster, which it has joined when ``main`` begins; None for a node alone.
        args: more arguments for ``main``.

    Raises:
        SystemExit: with code 75 if something had to be cut off at the end of ``stop_grace`` or by a second
            signal; the list is logged as errors of the logger ``trionet.run``.
        ConfigError: if the configuration of the cluster contradicts itself, or a file that it names cannot be
            used.
        MasterUnreachable: if the node was not admitted within ``join_timeout``.
        HarborTaken: if the harbor id belongs to a living node.
        Superseded: if another node has taken the harbor id; the services have stopped.
        ClusterError: if an address cannot be listened at, or the master refuses the node.
        TypeError: if ``main`` cannot be called, such as what ``main()`` gives, or is no async function.
        Exception: what ``main`` raised, after the node stopped.
    """
    given: object = main
    if inspect.iscoroutine(given):
        given.close()
        raise TypeError(f"found the coroutine {given!r}, expected its function: run(main), not run(main())")
    if not callable(given):
        raise TypeError(f"found {given!r}, expected a function: async def main(node)")
    network = None if cluster is None else open_harbor(cluster)
    parent = Parent.adopt()
    with StopSignals() as stops:
        parent.watch()
        code = run_node(Launch(main, args, config, network), stops, parent)
    if code:
        raise SystemExit(code)
