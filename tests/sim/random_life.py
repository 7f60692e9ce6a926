"""A random life of a cluster: what everybody does, what fails, and the history of it.

Theory of operation.  Everything is drawn from one seed: who calls whom with how much time and patience, which
node crashes when, where the network is cut.  Whatever happens is written into one history, which is no
message, and so is whole also where nodes are not.  :mod:`tests.sim.random_rules` reads it afterwards.

Each message tells whom it was meant for, its number, and what the handler shall do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any

import attrs
import trio

from trionet import CallError, ClusterConfig, Handle, NameTaken, Node, NodeConfig, Service, command, spec
from trionet.testing import SimulatedCluster, open_cluster

NODES = 4
WORKERS = 2
#: Seconds in which things go wrong, and in which all that began must have come to its end afterwards.
TROUBLE = 90.0
PEACE = 120.0
#: Seconds that a call may take at most.
PATIENCE = 25.0

SETTINGS = ClusterConfig(window_messages=8, window_bytes=200_000, reconnect_most=3.0)
CONFIG = NodeConfig(call_deadline=PATIENCE, stop_grace=2.0, inbox=4, concurrency=3)


@attrs.frozen
class Event:
    """One thing that happened.

    Args:
        time: when, in seconds of the simulation.
        what: the kind of event.
        key: the message, service or watch that it is about.
        more: what else is to be known.
    """

    time: float
    what: str
    key: Any
    more: Any = None


class Life:
    """What all parts of one simulation share.

    Attributes:
        random: source of everything that is drawn.
        history: what happened.
        alive: the services that take part, by their handles, each with the number of its node.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.history: list[Event] = []
        self.alive: dict[Handle, int] = {}
        self.numbers = count(1)
        self.sequence: Counter[tuple[str, Handle]] = Counter()

    def note(self, what: str, key: Any, more: Any = None) -> None:
        """Write down what happened."""
        self.history.append(Event(round(trio.current_time(), 9), what, key, more))

    def pick(self) -> Handle | None:
        """One of the services, or None while there is none."""
        handles = list(self.alive)
        return self.random.choice(handles) if handles else None


class Worker(Service):
    """Does what messages say, and writes down what it does."""

    def __init__(self, life: Life) -> None:
        self.life = life

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        self.life.alive.pop(self.handle, None)
        self.life.note("end", self.handle, "stop")
        await super().name_lost(name, owner)

    @command
    async def work(self, number: int, meant: Handle, seconds: float, depth: int) -> int:
        """Sleep, call on, sleep; the result is the number of the message."""
        with self._noted(number, meant):
            await trio.sleep(seconds)
            if depth:
                await call_somebody(self.life, self.node, depth - 1)
            await trio.sleep(seconds)
        return number

    @command(shielded=True)
    async def persist(self, number: int, meant: Handle, seconds: float, depth: int) -> int:
        """The same, and to its end."""
        return await self.work(number, meant, seconds, depth)

    @command
    async def fail(self, number: int, meant: Handle, seconds: float, depth: int) -> None:
        """Raise, after some time."""
        with self._noted(number, meant):
            await trio.sleep(seconds)
        raise ValueError(number)

    @command
    def hear(self, number: int, meant: Handle, source: str, place: int, filler: bytes) -> None:
        """Take note of a one-way message."""
        self.life.note("heard", number, (self.handle, meant, source, place))

    @contextmanager
    def _noted(self, number: int, meant: Handle) -> Iterator[None]:
        self.life.note("began", number, (self.handle, meant))
        try:
            yield
        except trio.Cancelled:
            self.life.note("cancelled", number)
            raise
        self.life.note("ended", number)


async def call_somebody(life: Life, node: Node, depth: int) -> None:
    """Make one call from a node, with a random amount of time and patience, and write down how it ended."""
    target = life.pick()
    if target is None:
        return
    random = life.random
    name = random.choice(["work"] * 6 + ["persist", "fail"])
    seconds = random.choice([0.0, 0.01, 0.5, 3.0])
    deadline = random.choice([None, None, 0.2, 2.0, 20.0])
    patience = random.choice([1000.0, 1000.0, 0.001, 0.1, 1.0, 6.0])
    number = next(life.numbers)
    life.note("call", number, (target, name, node.name, deadline, patience))
    end: tuple[str, bool | None] = ("crashed", None)
    try:
        with trio.move_on_after(patience) as scope:
            reference = node.ref(target)
            bound = getattr(reference, name)
            if deadline is not None:
                bound = bound.options(deadline=deadline)
            assert await bound(number, target, seconds, depth) == number
            end = ("value", True)
        if scope.cancelled_caught:
            end = ("cancelled", None)
    except CallError as error:
        end = (type(error).__name__, error.executed)
    finally:
        life.note("call over", number, end)


async def send_somebody(life: Life, node: Node, source: str) -> None:
    """Send one message from a source that keeps order."""
    target = life.pick()
    if target is None:
        return
    number = next(life.numbers)
    place = life.sequence[source, target] = life.sequence[source, target] + 1
    filler = bytes(life.random.choice([0, 0, 0, 0, 30_000, 150_000]))
    life.note("send", number, (target, source, place))
    end = "withdrawn"
    try:
        with trio.move_on_after(life.random.choice([1000.0, 1000.0, 0.5])) as scope:
            await node.send(target, "hear", number, target, source, place, filler)
        end = "withdrawn" if scope.cancelled_caught else "sent"
    finally:
        life.note("send over", number, end)


async def watch_somebody(life: Life, node: Node) -> None:
    """Watch one service for some time."""
    target = life.pick()
    if target is None:
        return
    number = next(life.numbers)
    life.note("watch", number, target)
    with trio.move_on_after(life.random.choice([0.5, 20.0])):
        async with node.watch(target) as end:
            exit_ = await end.wait()
            life.note("told", number, (exit_.handle, exit_.reason))


async def be_a_user(life: Life, node: Node, source: str) -> None:
    """Do one thing after another, until the trouble is over."""
    deeds: list[Callable[[], Any]] = [
        lambda: call_somebody(life, node, 2),
        lambda: call_somebody(life, node, 0),
        lambda: send_somebody(life, node, source),
        lambda: send_somebody(life, node, source),
        lambda: watch_somebody(life, node),
    ]
    while trio.current_time() < TROUBLE:
        await life.random.choice(deeds)()
        await trio.sleep(life.random.choice([0.0, 0.01, 0.3]))


class User(Service):
    """A service that calls, sends and watches."""

    def __init__(self, life: Life, number: int) -> None:
        self.life = life
        self.number = number

    async def setup(self) -> None:
        await self.nursery.start(self._note_dead_letters)
        for turn in range(2):
            self.nursery.start_soon(be_a_user, self.life, self.node, f"{self.handle!r} {turn}")

    async def _note_dead_letters(self, task_status: trio.TaskStatus[None]) -> None:
        async with self.node.dead_letters.subscribe() as letters:
            task_status.started()
            async for letter in letters:
                number = letter.args[0] if letter.args else None
                self.life.note("dead letter", number, (letter.target, letter.reason.partition(":")[0]))


async def populate(life: Life, cluster: SimulatedCluster, number: int) -> None:
    """Let users and workers live on a node that has just joined; some workers take names."""
    node = cluster[number]
    try:
        await node.start(spec(User, life, number))
        for turn in range(WORKERS):
            await start_worker(life, node, number, f"name{turn}")
    except (CallError, NameTaken, trio.ClosedResourceError):
        life.note("not populated", number)


async def start_worker(life: Life, node: Node, number: int, name: str) -> None:
    """Start a worker that can be found; it is forgotten when it ends."""
    before = set(node.services())
    worker = await node.start(spec(Worker, life))
    (handle,) = set(node.services()) - before
    life.alive[handle] = number
    life.note("lives", handle, number)
    try:
        with trio.move_on_after(1):
            await node.register(name, worker)
            life.note("named", handle, name)
    except (NameTaken, CallError):
        life.note("not named", handle, name)


async def make_trouble(life: Life, cluster: SimulatedCluster) -> None:
    """Let things fail until the trouble is over; then let all be well again."""
    random = life.random
    while trio.current_time() < TROUBLE:
        await trio.sleep(random.uniform(0.5, 12.0))
        trouble = random.choice([crash, crash, cut, isolate, slow, end_one, end_one, blink])
        await trouble(life, cluster)
    cluster.heal()
    cluster.latency = 0.001
    for number in range(1, NODES + 1):
        if number not in cluster.nodes:
            await come_back(life, cluster, number)
    life.note("peace", None)


def gone(life: Life, number: int) -> None:
    """The services of a node are no more."""
    for handle in [handle for handle, where in life.alive.items() if where == number]:
        del life.alive[handle]


async def crash(life: Life, cluster: SimulatedCluster) -> None:
    """A node crashes, the master's or another, and comes back, at once or later."""
    number = life.random.choice(sorted(cluster.nodes))
    life.note("crash", number, cluster[number].incarnation)
    gone(life, number)
    await cluster.crash(number)
    await trio.sleep(life.random.choice([0.0, 0.1, 5.0, 30.0]))
    await come_back(life, cluster, number)


async def come_back(life: Life, cluster: SimulatedCluster, number: int) -> None:
    """Start a node until it can join."""
    while number not in cluster.nodes:
        cluster.heal()
        await cluster.start(number)
    life.note("back", number, cluster[number].incarnation)
    await populate(life, cluster, number)


async def cut(life: Life, cluster: SimulatedCluster) -> None:
    """The network is cut in two, shorter or longer than the heartbeat timeout."""
    numbers = list(range(1, NODES + 1))
    life.random.shuffle(numbers)
    half = life.random.randrange(1, NODES)
    life.note("cut", tuple(numbers[:half]), tuple(numbers[half:]))
    cluster.partition(numbers[:half], numbers[half:])
    await trio.sleep(life.random.choice([1.0, 10.0, 30.0]))
    cluster.heal()
    life.note("healed", None)


async def isolate(life: Life, cluster: SimulatedCluster) -> None:
    """One node is as if frozen."""
    number = life.random.randrange(1, NODES + 1)
    life.note("isolated", number)
    cluster.isolate(number)
    await trio.sleep(life.random.choice([3.0, 24.0, 40.0]))
    cluster.heal()
    life.note("healed", None)


async def blink(life: Life, cluster: SimulatedCluster) -> None:
    """Many short cuts."""
    for _ in range(5):
        await cut_shortly(life, cluster)


async def cut_shortly(life: Life, cluster: SimulatedCluster) -> None:
    cluster.partition({life.random.randrange(1, NODES + 1)})
    await trio.sleep(life.random.uniform(0.0, 0.5))
    cluster.heal()
    await trio.sleep(life.random.uniform(0.0, 0.5))


async def slow(life: Life, cluster: SimulatedCluster) -> None:
    """From now on messages take more or less time."""
    cluster.latency = life.random.choice([0.0001, 0.001, 0.05, 0.4])
    life.note("latency", cluster.latency)


async def end_one(life: Life, cluster: SimulatedCluster) -> None:
    """A service is stopped or killed, and another takes its place."""
    handle = life.pick()
    if handle is None:
        return
    number = life.alive.pop(handle)
    node = cluster[number]
    how = life.random.choice(["stop", "kill"])
    life.note("end", handle, how)
    await getattr(node, how)(handle)
    await start_worker(life, node, number, "another")


async def live(seed: int) -> tuple[list[Event], dict[int, dict[str, Handle]]]:
    """Live one life; returns its history, and the table of names as each node sees it at the end."""
    life = Life(seed)
    async with open_cluster(NODES, seed=seed, config=CONFIG, settings=SETTINGS) as cluster:
        for number in range(1, NODES + 1):
            await populate(life, cluster, number)
        await make_trouble(life, cluster)
        await cluster.settle()
        await trio.sleep(PEACE)
        await cluster.settle()
        for number, node in cluster.nodes.items():
            for handle in node.services():
                figures = node.service_statistics(handle)
                life.note("at the end", handle, (number, figures.running, figures.inbox))
        names = {number: dict(node.names()) for number, node in cluster.nodes.items()}
    return life.history, names
