"""Exclusive names: never two owners, whatever stands still, is cut off or is restarted."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.wire.master_world import HOLD, TIMEOUT, SimNode, World
from trionet.wire import effects as fx
from trionet.wire.lease import Lease
from trionet.wire.master_messages import Renewed

index = st.integers(0, 2)
NAME = "leader"


def ask(world: World, node: SimNode, token: object) -> None:
    """A new service of that node wants the name."""
    node.asked[token] = f"register {NAME}"
    effects = node.slave.register(token, NAME, node.handle(), world.now, exclusive=True)
    world.do(node, effects)


def holds(node: SimNode) -> bool:
    return any(row.name == NAME for row in node.slave.held_names())


def cluster(*harbors: int, settle: float | None = 0.0) -> tuple[World, list[SimNode]]:
    """A world whose nodes are admitted; its next master settles as usual."""
    world = World(settle=settle)
    for harbor in harbors:
        world.start_node(harbor)
    world.connect_all()
    world.settle = None
    return world, list(world.nodes)


class ExclusiveLife(RuleBasedStateMachine):
    """Few nodes, one name that everybody wants, and every fault there is."""

    @initialize()
    def begin(self) -> None:
        self.world, _ = cluster(1, 2)
        self.tokens = 0

    def pick(self, index: int) -> SimNode:
        return self.world.nodes[index % len(self.world.nodes)]

    @rule(index=index)
    def want(self, index: int) -> None:
        node = self.pick(index)
        if node.running and node.slave.node(node.slave.harbor):
            self.tokens += 1
            ask(self.world, node, self.tokens)

    @precondition(lambda self: self.world.master is not None and not self.world.master_frozen)
    @rule(index=index)
    def cut_off_but_seen_by_the_master(self, index: int) -> None:
        """The master's side ends at once, the node's side hears nothing for the whole timeout."""
        node = self.pick(index)
        if not node.cut:
            self.world.reset(node, by_master=True)
            self.world.cut(node)

    @rule(index=index)
    def cut_or_heal(self, index: int) -> None:
        node = self.pick(index)
        (self.world.heal if node.cut else self.world.cut)(node)

    @rule(index=index)
    def freeze_or_thaw(self, index: int) -> None:
        node = self.pick(index)
        (self.world.thaw if node.frozen else self.world.freeze)(node)

    @rule(index=index)
    def replace_node(self, index: int) -> None:
        node = self.pick(index)
        self.world.crash(node)
        self.world.start_node(node.slave.harbor)

    @rule(index=index)
    def say_goodbye(self, index: int) -> None:
        node = self.pick(index)
        if node.running:
            self.world.do(node, node.slave.leave(self.world.now))
            self.world.start_node(node.slave.harbor)

    @precondition(lambda self: self.world.master is not None)
    @rule(noticed=st.booleans())
    def restart_master(self, noticed: bool) -> None:
        self.world.kill_master(noticed=noticed)
        self.world.start_master()

    @precondition(lambda self: self.world.master is not None)
    @rule()
    def freeze_or_thaw_master(self) -> None:
        (self.world.thaw_master if self.world.master_frozen else self.world.freeze_master)()

    @rule(seconds=st.sampled_from([1.0, 4.0, TIMEOUT - 3, TIMEOUT, HOLD]))
    def run_for(self, seconds: float) -> None:
        end = self.world.now + seconds
        while self.world.now < end:
            self.world.run(1.0)
            self.holds()

    @rule(seconds=st.sampled_from([3.0, TIMEOUT, HOLD]))
    def nothing_moves(self, seconds: float) -> None:
        self.world.advance(seconds)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "world"):
            self.world.check_always()
            while len(self.world.nodes) < 2:
                self.world.start_node(len(self.world.nodes) + 1)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.quiesce()
            self.world.check_quiet()


TestExclusiveLife = ExclusiveLife.TestCase
TestExclusiveLife.settings = settings(max_examples=60, stateful_step_count=30)


def watch_until_free(world: World, other: SimNode, limit: float) -> float:
    """Let the other node ask each second until it owns the name; never may two own it."""
    start = world.now
    while not holds(other):
        assert world.now < start + limit
        ask(world, other, ("again", world.now))
        world.run(1.0)
        world.check_always()
    return world.now - start


def test_an_owner_that_only_the_master_lost() -> None:
    """The owner withdraws in one timeout, the master frees after two."""
    world, (one, other) = cluster(1, 2)
    ask(world, one, 1)
    world.run(5.0)
    assert holds(one)
    world.reset(one, by_master=True)
    world.cut(one)
    assert watch_until_free(world, other, HOLD + 5) >= HOLD - 1
    assert one.lost == [fx.NameLost(NAME, one.lost[0].handle, fx.Loss.MASTER_SILENT)]
    world.quiesce()
    world.check_quiet()
    assert holds(other)


def test_a_name_is_held_for_most_of_the_timeout() -> None:
    """A master that is silent for less than the timeout, less one renewal, costs no name."""
    world, (one, _) = cluster(1, 2)
    ask(world, one, 1)
    world.run(5.0)
    world.cut(one)
    world.advance(TIMEOUT * 0.85)
    assert holds(one)
    world.heal(one)
    world.run(5.0)
    world.cut(one)
    world.advance(TIMEOUT)
    assert not holds(one)
    assert one.slave.lookup(NAME) is None


def test_a_frozen_owner_withdraws_before_anything_else() -> None:
    """What waited in its sockets while it stood still cannot make it believe that it is the owner."""
    world, (one, other) = cluster(1, 2)
    ask(world, one, 1)
    world.run(5.0)
    world.freeze(one)
    watch_until_free(world, other, TIMEOUT + HOLD + 5)
    world.thaw(one)
    world.check_always()
    assert not holds(one)
    world.quiesce()
    world.check_quiet()
    assert holds(other)


def test_late_answers_do_not_stretch_the_lease() -> None:
    """An answer counts from when it was asked for, however late it comes, and only once."""
    lease = Lease(20.0)
    first = lease.renew(100.0)
    second = lease.renew(110.0)
    assert lease.until < 100.0
    lease.renewed(Renewed(first.token))
    assert lease.until == 120.0
    lease.renewed(Renewed(second.token))
    lease.renewed(Renewed(first.token))
    assert lease.until == 130.0
    assert not lease._sent  # nothing is kept of what was answered
    lost = lease.renew(115.0)
    lease.forget()
    assert lease.due < 100.0  # at once with the next connection
    lease.renewed(Renewed(lost.token))
    assert lease.until == 130.0


@pytest.mark.parametrize("copy_survives", [True, False])
def test_a_restarted_master_does_not_give_a_held_name_away(copy_survives: bool) -> None:
    """Neither when a copy tells of it, nor when it can know nothing of its owner."""
    world, (one, other) = cluster(1, 2)
    ask(world, one, 1)
    world.run(5.0)
    world.cut(one)
    if not copy_survives:
        world.crash(other)
        other = world.start_node(2)
    world.kill_master()
    world.start_master()
    world.connect_all()
    ask(world, other, "x")
    world.connect_all()
    world.check_always()
    assert holds(one)
    assert ("x" in other.outcomes) is copy_survives
    world.run(HOLD + 1)
    world.check_always()
    ask(world, other, "y")
    world.connect_all()
    assert holds(other)
    assert not holds(one)


def test_an_owner_keeps_its_name_over_a_restart_of_the_master() -> None:
    """If the new master is there before the lease ends."""
    world, (one, other) = cluster(1, 2)
    ask(world, one, 1)
    world.run(5.0)
    world.kill_master()
    world.advance(10.0)
    world.start_master()
    world.run(3 * HOLD)
    world.check_quiet()
    assert holds(one)
    assert one.lost == []
    ask(world, other, 2)
    world.connect_all()
    assert other.outcomes[2] == fx.Failed(2, fx.Failure.TAKEN, one.slave.lookup(NAME))


def test_an_unknown_exclusive_name_waits_for_the_master_to_settle() -> None:
    """And is granted then, once, to the first who asked."""
    world, (one, other) = cluster(1, 2, settle=None)
    ask(world, one, 1)
    ask(world, other, 2)
    world.run(HOLD - 2)
    assert not one.outcomes
    assert not other.outcomes
    world.run(3.0)
    assert isinstance(one.outcomes[1], fx.Done)
    assert isinstance(other.outcomes[2], fx.Failed)
    world.check_always()


def test_who_has_gone_before_the_master_settled_gets_nothing() -> None:
    """The next in line does; a connection that was replaced asks again by itself."""
    world, (one, other) = cluster(1, 2, settle=None)
    ask(world, one, 1)
    world.deliver_all()
    ask(world, other, 2)
    world.deliver_all()
    world.crash(one)
    world.reset(other, by_master=False)
    world.connect_all()
    world.run(HOLD + 1)
    assert world.master is not None
    assert [row.handle.harbor for row in world.master.tables.name_rows()] == [2]
    assert isinstance(other.outcomes[2], fx.Done)
    world.check_quiet()


def test_a_goodbye_frees_the_name_at_once() -> None:
    """Nobody has to wait for a node that stopped in peace."""
    world, (one, other) = cluster(1, 2)
    ask(world, one, 1)
    world.run(5.0)
    world.do(one, one.slave.leave(world.now))
    world.deliver_all()
    ask(world, other, 2)
    world.deliver_all()
    assert holds(other)


def test_a_grant_after_the_lease_is_given_back() -> None:
    """A node that stood still while its registration was granted asks anew, with a new lease."""
    world, (one, _) = cluster(1, 2)
    ask(world, one, 1)
    conn = one.conn
    assert conn is not None
    while world.deliver_up(conn):
        pass
    world.freeze(one)
    world.now += TIMEOUT - 1
    world.thaw(one)
    world.now += 2
    while world.deliver_down(conn):
        pass
    assert not holds(one)
    assert not one.outcomes
    world.deliver_all()
    assert holds(one)
    assert isinstance(one.outcomes[1], fx.Done)
    world.quiesce()
    world.check_quiet()
