"""The nodes of ``trionet up``: started in order, started again by policy, stopped in order.

Duty: the life of each node over all its processes, and of all nodes together.

Order.  The node with the master comes first; the others start once it is open.  At the stop the others go
first, and the master's node when they have ended (C13).  A node that fails and is not to be started again
stops all the others too: a cluster that lacks a part shall not look healthy.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Callable
from typing import Any, Final

import trio

from trionet.cli.child import Child
from trionet.cli.output import Output
from trionet.configfile import PlannedNode
from trionet.kernel.supervise import RestartHistory
from trionet.program import EXIT_CRASH, EXIT_CUT_OFF, EXIT_OK, EXIT_USAGE, StopSignals

#: Exit codes that are no surprise at the stop: a node may have had no handler for the signal yet.
_STOPPED: Final = (EXIT_OK, -signal.SIGTERM)
#: What a signal most likely means, where few would guess it.
_MEANINGS: Final = {"SIGALRM": ", which ends a process that stood still for too long (cluster.fence)"}


class State(enum.Enum):
    """How far a node is."""

    WAITING = "waiting"
    STARTING = "starting"
    OPEN = "open"
    READY = "ready"
    BETWEEN = "between two processes"
    OVER = "over"


class SupervisedNode:
    """One node, over all its processes.

    Args:
        planned: what the configuration says of it.
        command: what starts it.
        output: where its lines go.
        changed: called when it gets open, ready or over.

    Attributes:
        state: how far it is.
        failed: whether it ended for good by a failure.
        was_cut_off: whether something had to be cut off when it stopped.
        harbor: its harbor id, once it is open.
    """

    def __init__(
        self,
        planned: PlannedNode,
        command: list[str],
        output: Output,
        changed: Callable[[SupervisedNode], None],
    ) -> None:
        self.planned = planned
        self.state: State = State.WAITING
        self.failed: bool = False
        self.was_cut_off: bool = False
        self.harbor: int = 0
        self._child = Child(command, planned.env, self._told, self._reported)
        self._output = output
        self._changed = changed
        self._stopping = False
        self._killed = False
        self._pause = trio.CancelScope()
        self._started_at = 0.0
        self.opened: trio.Event = trio.Event()
        self.over: trio.Event = trio.Event()

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.planned.name

    async def run(self) -> None:
        """Start processes until the node is over.

        Cancellation: kills the process.
        """
        history = RestartHistory(self.planned.restart)
        delay: float | None = 0.0
        while delay is not None and not self._stopping:
            with trio.CancelScope() as self._pause:
                await trio.sleep(delay)
            if not self._stopping:
                delay = await self._live(history)
        self._end()

    async def _live(self, history: RestartHistory) -> float | None:
        """Run one process; return the seconds until the next, or None if there shall be none."""
        self.state, self._started_at = State.STARTING, trio.current_time()
        code = await self._run_once()
        self.state = State.BETWEEN
        if self._stopping:
            self._judge_stop(code)
            return None
        return self._delay(code, history)

    async def _run_once(self) -> int:
        try:
            return await self._child.run()
        except OSError as error:
            self.say(f"cannot be started: {error}", "red")
            return EXIT_CRASH

    def _judge_stop(self, code: int) -> None:
        self.was_cut_off = self._killed or code == EXIT_CUT_OFF
        self.failed = not self.was_cut_off and code not in _STOPPED
        self.say("has stopped" if code in _STOPPED else _ending(code), "red" if self.failed else "")

    def _delay(self, code: int, history: RestartHistory) -> float | None:
        """Decide after an end by itself: the seconds until the next start, or None for the end."""
        policy = self.planned.restart
        wanted = policy.when == "always" or (policy.when == "failure" and code != EXIT_OK)
        delay = history.next_delay(trio.current_time()) if wanted and code != EXIT_USAGE else None
        style = "" if code == EXIT_OK else "red"
        if delay is not None:
            self.say(f"{_ending(code)}; starting it again in {delay:g} s", style)
            return delay
        self.failed = code != EXIT_OK
        gave_up = f"; {policy.most} restarts within {policy.within:g} s were not enough" if wanted else ""
        self.say(_ending(code) + ("" if code == EXIT_USAGE else gave_up), style)
        return None

    def _end(self) -> None:
        self.state = State.OVER
        self.opened.set()
        self.over.set()
        self._changed(self)

    async def stop(self) -> None:
        """Stop the node in order, kill it when its time is over, and wait for its end.

        Cancellation: the node goes on stopping.
        """
        self._stopping = True
        if self.state is State.WAITING:
            self._end()
        self._pause.cancel()
        self._child.terminate()
        settings = self.planned.settings
        patience = settings.node.stop_grace + settings.up.kill_after
        with trio.move_on_after(patience) as scope:
            await self.over.wait()
        if scope.cancelled_caught:
            self.say(f"has not stopped within {patience:g} s: killing it", "red")
            self.kill()
            await self.over.wait()

    def kill(self) -> None:
        """End its process at once."""
        self._stopping = self._killed = True
        self._pause.cancel()
        self._child.kill()

    def say(self, text: str, style: str = "") -> None:
        """Print a line on this node."""
        self._output.say(f"{self.name} {text}", style)

    def _told(self, line: str) -> None:
        self._output.line(self.name, line)

    def _reported(self, report: dict[str, Any]) -> None:
        match report:
            case {"event": "open", "harbor": int(harbor), "address": str(address)}:
                self.state, self.harbor = State.OPEN, harbor
                if harbor:
                    self.say(f"has joined as harbor {harbor} at {address}")
                self.opened.set()
            case {"event": "ready"}:
                self.state = State.READY
                self.say(f"is ready after {trio.current_time() - self._started_at:.1f} s", "green")
                self._changed(self)


class Supervisor:
    """All nodes together.

    Args:
        planned: the nodes, as the configuration has them.
        command: what starts a node.
        output: where all lines go.
    """

    def __init__(
        self, planned: tuple[PlannedNode, ...], command: Callable[[PlannedNode], list[str]], output: Output
    ) -> None:
        self.nodes: list[SupervisedNode] = [
            SupervisedNode(each, command(each), output, self._changed) for each in planned
        ]
        self._output = output
        self._enough = trio.Event()
        self._all_ready = False

    async def run(self, stops: StopSignals) -> int:
        """Run all nodes until the last has ended, one has failed for good, or a signal stops them.

        Cancellation: kills all.

        Args:
            stops: the first signal stops all in order, the second kills them.

        Returns:
            The exit code: 0; 1 if a node failed; 75 if something had to be cut off at the stop.
        """
        begin = trio.current_time()

        def signalled(name: str) -> None:
            if stops.count > 1:
                self._output.say(f"{name}: killing all nodes that still run", "red")
                for node in self.nodes:
                    node.kill()
            elif not self._enough.is_set():
                self._output.say(f"{name}: stopping; a second one kills", "yellow")
                self._enough.set()

        with stops.telling(signalled):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._start, nursery, begin)
                nursery.start_soon(self._watch_output)
                await self._enough.wait()
                await self._stop()
                nursery.cancel_scope.cancel()
        return self._code()

    async def _start(self, nursery: trio.Nursery, begin: float) -> None:
        self._begin = begin
        masters = [node for node in self.nodes if node.planned.is_master]
        for node in masters:
            nursery.start_soon(node.run)
        for node in masters:
            await node.opened.wait()
        for node in self.nodes:
            if node.state is State.WAITING and not self._enough.is_set():
                nursery.start_soon(node.run)

    async def _watch_output(self) -> None:
        await self._output.broken.wait()
        self._enough.set()

    async def _stop(self) -> None:
        for is_master in (False, True):
            async with trio.open_nursery() as nursery:
                for node in self.nodes:
                    if node.planned.is_master is is_master and not node.over.is_set():
                        nursery.start_soon(node.stop)

    def _changed(self, node: SupervisedNode) -> None:
        running = [each for each in self.nodes if each.state is not State.OVER]
        if self._enough.is_set():
            return
        if node.failed:
            self._output.say(f"stopping all nodes, because {node.name} has failed", "red")
            self._enough.set()
        elif not running:
            self._enough.set()
        elif not self._all_ready and all(each.state is State.READY for each in running):
            self._all_ready = True
            self._tell_ready(running)

    def _tell_ready(self, nodes: list[SupervisedNode]) -> None:
        names = ", ".join(f"{each.name} ({each.harbor})" if each.harbor else each.name for each in nodes)
        seconds = trio.current_time() - self._begin
        count = f"all {len(nodes)} nodes are" if len(nodes) > 1 else "the node is"
        self._output.say(f"{count} ready after {seconds:.1f} s: {names}", "bold green")

    def _code(self) -> int:
        if any(node.failed for node in self.nodes):
            return EXIT_CRASH
        return EXIT_CUT_OFF if any(node.was_cut_off for node in self.nodes) else EXIT_OK


def _ending(code: int) -> str:
    """How a process ended, as the end of a sentence about it."""
    if code >= 0:
        return "has ended" if code == EXIT_OK else f"has ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"was killed by signal {-code}"
    return f"was killed by {name}{_MEANINGS.get(name, '')}"
