"""Names and groups across nodes: registering, waiting, losing, and what a lost master changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.master_world import HOLD, TIMEOUT, SimNode, World
from trionet.handle import Handle
from trionet.wire import directory as directory_module
from trionet.wire import effects as fx
from trionet.wire import master_messages as mm
from trionet.wire.errors import ProtocolError
from trionet.wire.slave import Slave


def cluster(count: int = 2) -> tuple[World, list[SimNode]]:
    world = World()
    for harbor in range(1, count + 1):
        world.start_node(harbor)
        world.connect_all()
    return world, list(world.nodes)


def ask(
    world: World, node: SimNode, token: Any, name: str, handle: Handle | None = None, **how: Any
) -> Handle:
    owner = handle or node.handle()
    node.asked[token] = f"register {name}"
    world.do(node, node.slave.register(token, name, owner, world.now, **how))
    return owner


def wait(world: World, node: SimNode, token: Any, name: str) -> None:
    node.asked[token] = f"wait {name}"
    world.do(node, node.slave.wait_for_name(token, name, world.now))


def test_register_lookup_wait() -> None:
    """Done when the master has accepted, known everywhere, and who waited is woken."""
    world, (one, two) = cluster()
    wait(world, two, "w", "a")
    handle = ask(world, one, 1, "a")
    assert one.slave.lookup("a") is None
    assert one.outcomes == {}
    world.deliver_all()
    assert one.outcomes[1] == fx.Done(1, handle)
    assert two.outcomes["w"] == fx.Done("w", handle)
    assert one.slave.lookup("a") == two.slave.lookup("a") == handle
    wait(world, two, "again", "a")
    assert two.outcomes["again"] == fx.Done("again", handle)
    ask(world, one, 2, "a", handle)
    assert one.outcomes[2] == fx.Done(2, handle)
    world.check_quiet()


def test_the_loser_is_told_the_owner() -> None:
    """Of two that ask at once, the first at the master wins."""
    world, (one, two) = cluster()
    winner = ask(world, one, 1, "a")
    ask(world, two, 2, "a")
    world.deliver_all()
    assert two.outcomes[2] == fx.Failed(2, fx.Failure.TAKEN, winner)
    assert ask(world, one, 3, "a") != winner
    world.deliver_all()
    assert one.outcomes[3] == fx.Failed(3, fx.Failure.TAKEN, winner)
    world.check_quiet()


def test_unregister_is_at_once_here() -> None:
    """And soon everywhere; only the owner can, and the name is free for others."""
    world, (one, two) = cluster()
    handle = ask(world, one, 1, "a")
    world.deliver_all()
    world.do(one, one.slave.unregister("a", one.handle(), world.now))
    assert one.slave.lookup("a") == handle
    world.do(one, one.slave.unregister("a", handle, world.now))
    assert one.slave.lookup("a") is None
    assert two.slave.lookup("a") == handle
    ask(world, one, 2, "a", handle)
    world.deliver_all()
    assert one.outcomes[2] == fx.Done(2, handle)
    assert two.slave.lookup("a") == handle
    assert one.lost == []
    world.check_quiet()


def test_a_name_moves_within_its_node() -> None:
    """Nobody ever sees it without an owner."""
    world, (one, two) = cluster()
    old = ask(world, one, 1, "a")
    world.deliver_all()
    new = ask(world, one, 2, "a", replace=old)
    world.deliver_all()
    assert one.outcomes[2] == fx.Done(2, new)
    for node in (one, two):
        told = [e for e in node.seen if isinstance(e, fx.NameAdded | fx.NameRemoved)]
        assert told == [fx.NameAdded("a", old), fx.NameAdded("a", new)]
    assert one.lost == []
    world.check_quiet()


def test_what_a_service_had_goes_with_it() -> None:
    """Names, memberships, and what it was asking for."""
    world, (one, two) = cluster()
    handle = ask(world, one, 1, "a")
    world.do(one, one.slave.join_group("g", handle, world.now))
    world.deliver_all()
    ask(world, one, 2, "b", handle)
    world.do(one, one.slave.withdraw(handle, world.now))
    one.cancelled.add(2)
    world.deliver_all()
    assert two.slave.names() == ()
    assert two.slave.groups() == ()
    world.check_quiet()


def test_a_cancelled_registration_leaves_nothing() -> None:
    """Whether it is cancelled before or after the master has heard of it, or while there is none."""
    for stage in range(3):
        world, (one, two) = cluster()
        if stage == 2:
            world.kill_master()
            world.deliver_all()
        ask(world, one, 1, "a")
        if stage == 1:
            assert one.conn is not None
            world.deliver_up(one.conn)
        one.cancelled.add(1)
        world.do(one, one.slave.cancel(1, world.now))
        wait(world, one, 2, "b")
        one.cancelled.add(2)
        world.do(one, one.slave.cancel(2, world.now))
        world.do(one, one.slave.cancel("never", world.now))
        world.quiesce()
        assert two.slave.names() == ()
        world.check_quiet()


def test_cancelled_and_asked_again() -> None:
    """The second one is not undone with the first."""
    world, (one, two) = cluster()
    handle = ask(world, one, 1, "a")
    one.cancelled.add(1)
    world.do(one, one.slave.cancel(1, world.now))
    ask(world, one, 2, "a", handle)
    world.deliver_all()
    assert one.outcomes[2] == fx.Done(2, handle)
    ask(world, one, 3, "a", handle, exclusive=False)
    assert two.slave.lookup("a") == handle
    world.check_quiet()


def test_cancelling_a_move_gives_the_name_up() -> None:
    """If it has moved already; the old owner is told."""
    world, (one, two) = cluster()
    old = ask(world, one, 1, "a")
    world.deliver_all()
    ask(world, one, 2, "a", replace=old)
    one.cancelled.add(2)
    world.do(one, one.slave.cancel(2, world.now))
    world.deliver_all()
    assert one.lost == [fx.NameLost("a", old, fx.Loss.WITHDRAWN)]
    assert two.slave.lookup("a") is None
    world.check_quiet()


def test_without_master() -> None:
    """What is known stays; registrations wait; unregistering and waiting work; all is caught up with."""
    world, (one, two) = cluster()
    kept = ask(world, one, 1, "kept")
    given_up = ask(world, one, 2, "given-up")
    world.deliver_all()
    world.kill_master()
    world.deliver_all()
    assert fx.MasterLost() in one.seen
    assert two.slave.lookup("kept") == kept
    new = ask(world, one, 3, "new")
    world.do(one, one.slave.unregister("given-up", given_up, world.now))
    world.do(one, one.slave.join_group("g", new, world.now))
    wait(world, two, "w", "new")
    world.advance(300.0)
    assert 3 in one.slave.tokens()
    world.start_master()
    world.connect_all()
    assert one.outcomes[3] == fx.Done(3, new)
    assert two.outcomes["w"] == fx.Done("w", new)
    assert two.slave.lookup("given-up") is None
    assert two.slave.members("g") == (new,)
    assert fx.MasterBack() in two.seen
    world.quiesce()
    world.check_quiet()


def test_registrations_wait_for_the_first_master_too() -> None:
    """A node that starts before its master loses nothing."""
    world = World()
    world.kill_master()
    one = world.start_node(1)
    handle = ask(world, one, 1, "a")
    wait(world, one, 2, "a")
    world.advance(100.0)
    world.start_master()
    world.connect_all()
    assert one.outcomes == {1: fx.Done(1, handle), 2: fx.Done(2, handle)}


def test_two_owners_meet_after_a_split() -> None:
    """The later registration wins everywhere, the earlier owner is told."""
    world, (one, two) = cluster()
    old = ask(world, one, 1, "a")
    world.deliver_all()
    world.reset(one, by_master=True)
    world.cut(one)
    world.deliver_all()
    new = ask(world, two, 2, "a")
    world.deliver_all()
    assert two.outcomes[2] == fx.Done(2, new)
    assert one.slave.lookup("a") == old
    world.heal(one)
    world.run(1.0)
    assert one.lost == [fx.NameLost("a", old, fx.Loss.OTHER_OWNER)]
    assert one.slave.lookup("a") == two.slave.lookup("a") == new
    world.check_quiet()


def test_a_newcomer_loses_to_one_whom_a_restarted_master_did_not_know() -> None:
    """Its stamp is of a lower epoch or counter, since that master had not heard of any."""
    world, (one, two) = cluster()
    for number in range(3):
        ask(world, one, number, f"filler{number}")
    old = ask(world, one, 9, "a")
    world.deliver_all()
    world.cut(one)
    world.crash(two)
    world.kill_master()
    world.start_master()
    newcomer = world.start_node(3)
    world.connect_all()
    new = ask(world, newcomer, 1, "a")
    world.connect_all()
    assert newcomer.outcomes[1] == fx.Done(1, new)
    world.advance(TIMEOUT + 1)
    world.heal(one)
    world.connect_all()
    assert newcomer.lost == [fx.NameLost("a", new, fx.Loss.OTHER_OWNER)]
    assert one.lost == []
    assert newcomer.slave.lookup("a") == old
    world.quiesce()
    world.check_quiet()


def test_a_newcomer_is_refused_a_name_that_a_copy_tells_of() -> None:
    """Even though its owner is not back yet; and gets it when the owner does not come."""
    world, (one, two) = cluster()
    old = ask(world, one, 1, "a")
    world.deliver_all()
    world.cut(one)
    world.kill_master()
    world.deliver_all()
    world.start_master()
    world.connect_all()
    ask(world, two, 1, "a")
    world.deliver_all()
    assert two.outcomes[1] == fx.Failed(1, fx.Failure.TAKEN, old)
    world.run(HOLD + 1)
    new = ask(world, two, 2, "a")
    world.deliver_all()
    assert two.outcomes[2] == fx.Done(2, new)


def test_a_restarted_master_takes_a_higher_epoch() -> None:
    """Each time, so that new stamps are above all old ones."""
    world, (one, _) = cluster()
    epochs = []
    for _ in range(3):
        world.quiesce()
        epochs.append(one.slave.epoch)
        world.kill_master()
    assert epochs == sorted(set(epochs))


def test_a_reply_that_was_lost() -> None:
    """The master granted, the connection broke: after it is back there is one owner and one answer."""
    world, (one, two) = cluster()
    handle = ask(world, one, 1, "a")
    assert one.conn is not None
    world.deliver_up(one.conn)
    world.reset(one, by_master=False)
    assert one.outcomes == {}
    world.connect_all()
    assert one.outcomes == {1: fx.Done(1, handle)}
    world.check_quiet()
    assert two.slave.lookup("a") == handle


def test_given_up_while_joining() -> None:
    """What changes between the report and the snapshot is told after it."""
    world, (one, two) = cluster()
    handle = ask(world, one, 1, "a")
    world.do(one, one.slave.join_group("g", handle, world.now))
    world.deliver_all()
    world.kill_master()
    world.deliver_all()
    world.start_master()
    world.connect(one)
    assert one.conn is not None
    world.deliver_down(one.conn)
    world.do(one, one.slave.unregister("a", handle, world.now))
    world.do(one, one.slave.leave_group("g", handle, world.now))
    late = one.handle()
    world.do(one, one.slave.join_group("g", late, world.now))
    world.connect_all()
    assert two.slave.names() == ()
    assert two.slave.members("g") == (late,)
    world.check_quiet()


def test_full_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is told: its registration fails, its membership ends."""
    world, (one, two) = cluster()
    monkeypatch.setattr(directory_module, "MAX_WEIGHT", 10)
    handle = ask(world, one, 1, "a")
    world.do(one, one.slave.join_group("g", handle, world.now))
    world.deliver_all()
    assert one.outcomes[1] == fx.Failed(1, fx.Failure.FULL, None)
    assert fx.GroupLost("g", handle, fx.Loss.WITHDRAWN) in one.seen
    assert one.slave.members("g") == two.slave.members("g") == ()
    world.check_quiet()


def test_groups() -> None:
    """Members of any node; joining twice and leaving what one is not in changes nothing."""
    world, (one, two) = cluster()
    first, second = one.handle(), two.handle()
    for _ in range(2):
        world.do(one, one.slave.join_group("g", first, world.now))
        world.do(two, two.slave.join_group("g", second, world.now))
        world.deliver_all()
    assert one.slave.members("g") == two.slave.members("g") == tuple(sorted([first, second]))
    world.do(one, one.slave.leave_group("g", one.handle(), world.now))
    world.do(one, one.slave.leave_group("g", first, world.now))
    world.deliver_all()
    assert two.slave.members("g") == (second,)
    assert fx.GroupChanged("g", (), (first,)) in two.seen
    world.check_quiet()


def test_the_end_answers_everybody() -> None:
    """A slave that ends fails all that waits, and takes nothing more."""
    world, (one, _) = cluster()
    ask(world, one, 1, "a")
    wait(world, one, 2, "b")
    ask(world, one, 3, "c")
    one.cancelled.add(3)
    world.do(one, one.slave.cancel(3, world.now))
    world.do(one, one.slave.leave(world.now))
    assert one.outcomes == {token: fx.Failed(token, fx.Failure.ENDED, None) for token in (1, 2)}
    assert one.ended == fx.Ended(fx.Ending.LEFT, "the node has left the cluster")
    assert one.slave.leave(world.now) == []
    assert one.slave.received(mm.Probe(1), world.now) == []
    assert one.slave.connected(world.now) == []
    with pytest.raises(ValueError, match="has ended"):
        one.slave.register(4, "a", one.handle(), world.now)
    with pytest.raises(ValueError, match="has ended"):
        one.slave.wait_for_name(4, "a", world.now)


def test_what_is_refused_here() -> None:
    """Names that are none, services of others, tokens in use, a node without an id."""
    world, (one, two) = cluster()
    slave = one.slave
    wait(world, one, 1, "a")
    for name in (".local", "", "a b", "x" * 300):
        with pytest.raises(ValueError, match="name"):
            slave.register(2, name, one.handle(), world.now)
        with pytest.raises(ValueError, match="name"):
            slave.wait_for_name(2, name, world.now)
        with pytest.raises(ValueError, match="name"):
            slave.join_group(name, one.handle(), world.now)
    with pytest.raises(ValueError, match="does not live"):
        slave.register(2, "a", two.handle(), world.now)
    with pytest.raises(ValueError, match="does not live"):
        slave.join_group("g", two.handle(), world.now)
    with pytest.raises(ValueError, match="in use"):
        slave.register(1, "a", one.handle(), world.now)
    with pytest.raises(ValueError, match="in use"):
        slave.wait_for_name(1, "a", world.now)
    early = Slave(incarnation=5, address="x")
    with pytest.raises(ValueError, match="does not live"):
        early.register(1, "a", Handle.make(1, 1, 5), 0.0)
    with pytest.raises(ProtocolError):
        Slave(incarnation=5, address="x\n")
    with pytest.raises(ProtocolError):
        Slave(incarnation=5, address="x", name="n" * 300)
