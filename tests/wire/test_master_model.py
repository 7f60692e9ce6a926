"""Random lives of a cluster: joins, crashes, frozen nodes, partitions and a master that comes and goes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.wire.master_world import TIMEOUT, SimNode, World
from trionet.wire.slave import State

index = st.integers(0, 7)
names = st.sampled_from(["plain1", "plain2", "excl1", "excl2"])
groups = st.sampled_from(["workers", "rooms"])


class ClusterLife(RuleBasedStateMachine):
    """At any time: no exclusive name has two owners, no token is lost; in the end all copies agree."""

    @initialize(harbors=st.lists(st.integers(0, 4), min_size=2, max_size=5))
    def begin(self, harbors: list[int]) -> None:
        self.world = World(settle=0.0)
        self.tokens = 0
        for harbor in harbors:
            self.world.connect(self.world.start_node(harbor))
        self.world.connect_all()
        self.world.settle = None

    def pick(self, index: int) -> SimNode | None:
        nodes = self.world.nodes
        return nodes[index % len(nodes)] if nodes else None

    def owner(self, index: int) -> SimNode | None:
        """A node that runs and has a harbor id, so that services can live on it."""
        nodes = [each for each in self.world.nodes if each.running and each.slave.node(each.slave.harbor)]
        return nodes[index % len(nodes)] if nodes else None

    def token(self, node: SimNode, what: str) -> int:
        self.tokens += 1
        node.asked[self.tokens] = what
        return self.tokens

    # processes

    @precondition(lambda self: len(self.world.nodes) < 6)
    @rule(harbor=st.integers(0, 4))
    def start(self, harbor: int) -> None:
        self.world.connect(self.world.start_node(harbor))

    @precondition(lambda self: len(self.world.nodes) > 3)
    @rule(index=index, noticed=st.booleans())
    def crash(self, index: int, noticed: bool) -> None:
        node = self.pick(index)
        if node is not None:
            self.world.crash(node, noticed=noticed)

    @rule(index=index, noticed=st.booleans())
    def crash_and_start_again(self, index: int, noticed: bool) -> None:
        node = self.pick(index)
        if node is not None:
            self.world.crash(node, noticed=noticed)
            self.world.connect(self.world.start_node(node.slave.harbor))

    @rule(index=index)
    def freeze_or_thaw(self, index: int) -> None:
        node = self.pick(index)
        if node is not None:
            (self.world.thaw if node.frozen else self.world.freeze)(node)

    @precondition(lambda self: len(self.world.nodes) > 3)
    @rule(index=index)
    def say_goodbye(self, index: int) -> None:
        node = self.pick(index)
        if node is not None and node.running:
            self.world.do(node, node.slave.leave(self.world.now))

    @rule(noticed=st.booleans())
    def kill_or_start_master(self, noticed: bool) -> None:
        if self.world.master is None:
            self.world.start_master()
        else:
            self.world.kill_master(noticed=noticed)

    @rule()
    def restart_master(self) -> None:
        if self.world.master is not None:
            self.world.kill_master()
        self.world.start_master()

    @precondition(lambda self: self.world.master is not None)
    @rule()
    def freeze_or_thaw_master(self) -> None:
        (self.world.thaw_master if self.world.master_frozen else self.world.freeze_master)()

    # network

    @rule(index=index)
    def cut_or_heal(self, index: int) -> None:
        node = self.pick(index)
        if node is not None:
            (self.world.heal if node.cut else self.world.cut)(node)

    @precondition(lambda self: not self.world.master_frozen)
    @rule(index=index, by_master=st.booleans())
    def reset(self, index: int, by_master: bool) -> None:
        node = self.pick(index)
        if node is not None:
            self.world.reset(node, by_master=by_master)

    @rule(index=index)
    def connect(self, index: int) -> None:
        node = self.pick(index)
        if node is not None:
            self.world.connect(node)

    @rule(index=index, count=st.integers(1, 5))
    def deliver_up(self, index: int, count: int) -> None:
        for conn in self.world.conns[index : index + 1] * count:
            self.world.deliver_up(conn)

    @rule(index=index, count=st.integers(1, 5))
    def deliver_down(self, index: int, count: int) -> None:
        for conn in self.world.conns[index : index + 1] * count:
            self.world.deliver_down(conn)

    @rule()
    def deliver_all(self) -> None:
        self.world.connect_all()

    @rule(seconds=st.sampled_from([0.5, 4.0, TIMEOUT - 1, TIMEOUT + 1, 3 * TIMEOUT]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([1.0, 6.0, TIMEOUT]))
    def run_for(self, seconds: float) -> None:
        self.world.run(seconds)

    # services

    @rule(index=index, name=names)
    def register(self, index: int, name: str) -> None:
        node = self.owner(index)
        if node is not None:
            token = self.token(node, f"register {name}")
            exclusive = name.startswith("excl")
            asked = node.slave.register(token, name, node.handle(), self.world.now, exclusive=exclusive)
            self.world.do(node, asked)

    @rule(index=index, which=index)
    def replace(self, index: int, which: int) -> None:
        node = self.owner(index)
        held = node.slave.held_names() if node is not None else ()
        if node is not None and held:
            row = held[which % len(held)]
            token = self.token(node, f"register {row.name}")
            asked = node.slave.register(
                token, row.name, node.handle(), self.world.now, exclusive=row.exclusive, replace=row.handle
            )
            self.world.do(node, asked)

    @rule(index=index, which=index, ended=st.booleans())
    def give_up(self, index: int, which: int, ended: bool) -> None:
        node = self.owner(index)
        held = node.slave.held_names() if node is not None else ()
        if node is not None and held:
            row = held[which % len(held)]
            before = node.slave.tokens()
            if ended:
                self.world.do(node, node.slave.withdraw(row.handle, self.world.now))
                node.cancelled |= before - node.slave.tokens()
            else:
                self.world.do(node, node.slave.unregister(row.name, row.handle, self.world.now))

    @rule(index=index, name=names)
    def wait(self, index: int, name: str) -> None:
        node = self.pick(index)
        if node is not None and node.running:
            token = self.token(node, f"wait {name}")
            self.world.do(node, node.slave.wait_for_name(token, name, self.world.now))

    @rule(index=index, which=index)
    def cancel(self, index: int, which: int) -> None:
        node = self.pick(index)
        if node is not None and node.running and node.slave.tokens():
            tokens = sorted(node.slave.tokens(), key=str)
            token = tokens[which % len(tokens)]
            node.cancelled.add(token)
            self.world.do(node, node.slave.cancel(token, self.world.now))

    @rule(index=index, group=groups)
    def join_group(self, index: int, group: str) -> None:
        node = self.owner(index)
        if node is not None:
            self.world.do(node, node.slave.join_group(group, node.handle(), self.world.now))

    @rule(index=index, group=groups)
    def leave_group(self, index: int, group: str) -> None:
        node = self.owner(index)
        mine = (
            [h for h in node.slave.members(group) if h.incarnation == node.slave.incarnation] if node else []
        )
        if node is not None and mine:
            self.world.do(node, node.slave.leave_group(group, mine[0], self.world.now))

    # what must hold

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check_always()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.quiesce()
        self.world.check_quiet()
        table = self.world.master.tables if self.world.master is not None else None
        self.world.kill_master()
        self.world.advance(3.0)
        self.world.start_master()
        self.world.run(3 * TIMEOUT)
        self.world.check_quiet()
        assert self.world.master is not None
        assert self.world.master.tables == table, "a restarted master ends with the same tables"
        assert all(node.slave.state is State.ADMITTED for node in self.world.nodes)


TestClusterLife = ClusterLife.TestCase
TestClusterLife.settings = settings(max_examples=60, stateful_step_count=40)
