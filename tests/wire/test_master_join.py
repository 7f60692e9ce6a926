"""Joining, losing, coming back: who is admitted under which harbor id, and who has to end."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.wire.master_world import HOLD, PROBE, TIMEOUT, SimNode, World
from trionet.handle import MAX_HARBOR, Handle
from trionet.wire import effects as fx
from trionet.wire import master_messages as mm
from trionet.wire.master import Master
from trionet.wire.slave import Slave, State
from trionet.wire.tables import NEVER, GroupRow, Leaving, NameRow, NodeLeft, NodeRow, Stamp


def join(harbor: int = 1, incarnation: int = 11, **fields: Any) -> mm.Join:
    asked = mm.Join(harbor, incarnation, "127.0.0.1:1", "n", NEVER, 0, NEVER, (), (), None)
    return attrs.evolve(asked, **fields)


def master() -> Master:
    return Master(master=77, now=0.0, heartbeat_timeout=TIMEOUT, probe_timeout=PROBE)


def sent(effects: list[fx.MasterEffect], key: object, kind: type | None = None) -> list[Any]:
    found = [each.message for each in effects if isinstance(each, fx.SendTo) and each.peer == key]
    return [each for each in found if kind is None or type(each) is kind]


def closed(effects: list[fx.MasterEffect]) -> dict[object, str]:
    return {each.peer: each.reason for each in effects if isinstance(each, fx.Close)}


def ending(node: SimNode) -> fx.Ending | None:
    return None if node.ended is None else node.ended.kind


def admitted(node: SimNode) -> bool:
    return node.slave.is_admitted


def test_first_words() -> None:
    """The master greets, the slave reports, the snapshot admits; the others hear of the newcomer only."""
    m = master()
    assert sent(m.connected("a", 0.0), "a") == [mm.Hello(77, 1, NEVER)]
    first = m.received("a", join(), 0.0)
    row = NodeRow(1, 11, "127.0.0.1:1", "n", Stamp(1, 1))
    assert sent(first, "a") == [mm.Snapshot(1, 77, 1, 1, (row,), (), ())]
    m.connected("b", 1.0)
    second = m.received("b", join(2, 12), 1.0)
    assert [type(each) for each in sent(second, "a")] == [mm.Changes]
    assert [type(each) for each in sent(second, "b")] == [mm.Snapshot]


def test_messages_of_a_large_join() -> None:
    """Each newcomer costs two messages of its own, and one for each that is there."""
    m = master()
    count = 0
    for harbor in range(1, MAX_HARBOR + 1):
        effects = m.connected(harbor, 0.0) + m.received(harbor, join(harbor, 100 + harbor), 0.0)
        count += sum(isinstance(each, fx.SendTo) for each in effects)
    assert count == 2 * MAX_HARBOR + MAX_HARBOR * (MAX_HARBOR - 1) // 2


def test_no_id_is_left() -> None:
    """The one too many is told so."""
    m = master()
    for harbor in range(1, MAX_HARBOR + 1):
        m.connected(harbor, 0.0)
        m.received(harbor, join(0, 100 + harbor), 0.0)
    assert sorted(m.tables.nodes) == list(range(1, MAX_HARBOR + 1))
    m.connected("x", 0.0)
    effects = m.received("x", join(0, 999), 0.0)
    assert sent(effects, "x", mm.Refused)
    assert "x" in closed(effects)


def test_a_silent_newcomer_is_closed() -> None:
    """A connection that does not join in time ends; the timer says when."""
    m = master()
    assert fx.SetTimer(5.0) in m.connected("a", 0.0)
    assert closed(m.tick(4.9)) == {}
    assert "a" in closed(m.tick(5.0))
    assert m.deadline is None


def test_an_owner_that_answers_keeps_its_id() -> None:
    """The newcomer is told who has it, and ends."""
    world = World()
    owner = world.start_node(1)
    world.connect_all()
    newcomer = world.start_node(1)
    world.connect_all()
    assert ending(newcomer) is fx.Ending.TAKEN
    assert fx.Ended(fx.Ending.TAKEN, "harbor id 1 belongs to node1 at 127.0.0.1:20001") in newcomer.seen
    assert admitted(owner)
    world.check_quiet()


def test_an_owner_that_does_not_answer_is_superseded() -> None:
    """It learns of that when it wakes, and ends."""
    world = World()
    frozen, other = world.start_node(1), world.start_node(2)
    world.connect_all()
    world.freeze(frozen)
    newcomer = world.start_node(1)
    world.connect_all()
    assert not admitted(newcomer)
    world.run(PROBE + 1)
    assert admitted(newcomer)
    assert fx.NodeGone(1, frozen.slave.incarnation, Leaving.SUPERSEDED) in other.seen
    assert other.slave.may_accept(1, frozen.slave.incarnation) is False
    assert other.slave.may_accept(1, newcomer.slave.incarnation) is True
    world.thaw(frozen)
    world.connect_all()
    assert ending(frozen) is fx.Ending.SUPERSEDED
    world.check_quiet()


def test_a_superseded_node_that_was_cut_off_ends_when_it_shows_up() -> None:
    """Also when the id has been freed meanwhile."""
    world = World()
    old = world.start_node(1)
    world.connect_all()
    world.cut(old)
    newcomer = world.start_node(1)
    world.run(PROBE + 1)
    assert admitted(newcomer)
    world.crash(newcomer)
    world.run(TIMEOUT + 1)
    world.heal(old)
    world.connect_all()
    assert ending(old) is fx.Ending.SUPERSEDED


def test_rejoin_at_once_after_kill() -> None:
    """No probe and no wait: the old connection is known to be closed."""
    world = World()
    old, other = world.start_node(1), world.start_node(2)
    world.connect_all()
    before = world.now
    world.crash(old)
    again = world.start_node(1)
    world.connect_all()
    assert admitted(again)
    assert world.now == before
    assert [type(e) for e in other.seen if isinstance(e, fx.NodeGone | fx.NodeUp)][-2:] == [
        fx.NodeGone,
        fx.NodeUp,
    ]
    world.check_quiet()


def test_rejoin_when_the_end_of_the_old_one_comes_during_the_probe() -> None:
    """The contest is over at once."""
    world = World()
    old = world.start_node(1)
    world.connect_all()
    world.freeze(old)
    again = world.start_node(1)
    world.connect_all()
    assert not admitted(again)
    world.crash(old)
    world.connect_all()
    assert admitted(again)
    world.check_quiet()


def test_a_contender_that_goes_away() -> None:
    """Its contest goes with it; the owner stays, and the next contender is probed for anew."""
    world = World()
    owner = world.start_node(1)
    world.connect_all()
    world.freeze(owner)
    contender = world.start_node(1)
    world.connect_all()
    world.crash(contender)
    world.connect_all()
    world.run(PROBE + 1)
    assert world.master is not None
    assert world.master.tables.has(1, owner.slave.incarnation)
    last = world.start_node(1)
    world.run(PROBE + 1)
    assert admitted(last)


def test_two_contenders() -> None:
    """The first one stands; a second is refused at once, a new connection of the first takes its place."""
    m = master()
    for key, asked in (("o", join(1, 11)), ("a", join(1, 12))):
        m.connected(key, 0.0)
        m.received(key, asked, 0.0)
    m.connected("b", 1.0)
    effects = m.received("b", join(1, 13), 1.0)
    assert sent(effects, "b", mm.HarborTaken)
    m.connected("a2", 2.0)
    effects = m.received("a2", join(1, 12), 2.0)
    assert "a" in closed(effects)
    (probe,) = sent(effects, "o", mm.Probe)
    assert sent(m.received("o", mm.ProbeAnswer(probe.token - 1), 3.0), "a2") == []
    assert sent(m.received("o", mm.ProbeAnswer(probe.token), 3.0), "a2", mm.HarborTaken)
    assert m.tables.has(1, 11)


def test_the_same_incarnation_replaces_its_connection() -> None:
    """At once, without a word to the others."""
    m = master()
    for key, asked in (("a", join(1, 11)), ("b", join(2, 12))):
        m.connected(key, 0.0)
        m.received(key, asked, 0.0)
    m.connected("a2", 1.0)
    effects = m.received("a2", join(1, 11, master=77, known=Stamp(1, 2)), 1.0)
    assert "a" in closed(effects)
    assert sent(effects, "b") == []
    assert sent(effects, "a2", mm.Snapshot)
    assert m.disconnected("a", 2.0) == []
    assert m.received("a", mm.Goodbye(), 2.0) == []
    assert m.tables.has(1, 11)


def test_a_frozen_node_holds_up_nobody() -> None:
    """A newcomer is admitted while another stands still, and ready once the network has tried it."""
    world = World()
    frozen = world.start_node(1)
    world.connect_all()
    world.freeze(frozen)
    newcomer = world.start_node(2)
    world.connect_all()
    slave = newcomer.slave
    assert slave.is_admitted
    assert isinstance(newcomer.orders[1], fx.Dial)
    assert not [each for each in newcomer.seen if isinstance(each, fx.Ready)]
    world.do(newcomer, slave.unreachable(1, frozen.slave.incarnation, world.now))
    assert slave.is_ready
    assert list(slave.unreachable_nodes) == [1]
    assert fx.Ready((1,)) in newcomer.seen
    world.do(newcomer, slave.linked(1, frozen.slave.incarnation, world.now))
    assert list(slave.unreachable_nodes) == []


def test_loss_is_told_to_all() -> None:
    """A node that goes is dropped by the others, and its names and memberships with it."""
    world = World()
    one, two = world.start_node(1), world.start_node(2)
    world.connect_all()
    handle = one.handle()
    one.asked[1] = "register a"
    world.do(one, one.slave.register(1, "a", handle, world.now))
    world.do(one, one.slave.join_group("g", handle, world.now))
    world.deliver_all()
    assert two.slave.lookup("a") == handle
    assert two.slave.members("g") == (handle,)
    world.crash(one)
    world.deliver_all()
    told = [e for e in two.seen if isinstance(e, fx.Drop | fx.NodeGone | fx.NameRemoved)]
    assert told == [
        fx.NameRemoved("a", handle),
        fx.Drop(1, one.slave.incarnation, Leaving.LOST),
        fx.NodeGone(1, one.slave.incarnation, Leaving.LOST),
    ]
    assert two.slave.members("g") == ()


# --- a restarted master ----------------------------------------------------------------------------------


def test_a_newcomer_does_not_keep_the_id_of_one_that_comes_back() -> None:
    """A restarted master that knew nothing let it in; the one with the later admission stays."""
    world = World()
    world.start_node(2)
    world.connect_all()
    old = world.start_node(1)
    world.connect_all()
    world.cut(old)
    for node in [each for each in world.nodes if each is not old]:
        world.crash(node)
    world.kill_master()
    world.start_master()
    newcomer = world.start_node(1)
    world.connect_all()
    assert admitted(newcomer)
    world.advance(TIMEOUT + 1)
    world.heal(old)
    world.connect_all()
    assert admitted(old)
    assert ending(newcomer) is fx.Ending.SUPERSEDED
    world.quiesce()
    world.check_quiet()


def test_a_newcomer_waits_for_one_that_is_known_from_a_copy() -> None:
    """It gets the id if the owner does not come back in time, and not if it does."""
    for comes_back in (True, False):
        world = World()
        old, other = world.start_node(1), world.start_node(2)
        world.connect_all()
        world.cut(old)
        world.kill_master()
        world.start_master()
        world.connect(other)
        world.deliver_all()
        newcomer = world.start_node(1)
        world.connect_all()
        assert not admitted(newcomer)
        if comes_back:
            world.heal(old)
            world.reset(old, by_master=False)
            world.do(old, old.slave.disconnected(world.now))
            old.conn = None
            world.connect_all()
            assert ending(newcomer) is fx.Ending.TAKEN
        else:
            world.run(PROBE + 1)
            assert admitted(newcomer)


def test_only_the_newest_copy_is_asked_for() -> None:
    """After a restart the first slave sends its copy, the others need not."""
    world = World()
    nodes = [world.start_node(harbor) for harbor in range(1, 9)]
    world.connect_all()
    world.kill_master()
    world.deliver_all()
    world.start_master()
    copies = 0
    for node in nodes:
        world.connect(node)
        world.deliver_down(node.conn)  # type: ignore[arg-type]
        joined = mm.from_wire(node.conn.up[0])  # type: ignore[union-attr]
        assert isinstance(joined, mm.Join)
        copies += joined.copy is not None
        world.deliver_all()
    assert copies == 1
    world.check_quiet()


def test_a_restarted_master_waits_for_all_it_knows_of() -> None:
    """Links between slaves stay while they come back one by one, and go when one does not."""
    world = World()
    one, two, three = (world.start_node(harbor) for harbor in (1, 2, 3))
    world.connect_all()
    world.kill_master()
    world.deliver_all()
    world.crash(three)
    world.start_master()
    two.cut = True
    before = len(one.seen)
    world.connect_all()
    assert not [e for e in one.seen[before:] if isinstance(e, fx.Drop | fx.NodeGone)]
    two.cut = False
    world.run(HOLD - 5)
    assert not [e for e in one.seen[before:] if isinstance(e, fx.Drop | fx.NodeGone)]
    world.run(10)
    gone = [e for e in one.seen[before:] if isinstance(e, fx.Drop)]
    assert gone == [fx.Drop(3, three.slave.incarnation, Leaving.LOST)]
    assert fx.MasterBack() in one.seen
    assert admitted(two)
    world.check_quiet()


# --- those who break the protocol ------------------------------------------------------------------------

H = Handle.make(1, 1, 11)
FORGED = Handle.make(2, 1, 12)
ROW = NameRow("a", FORGED, Stamp(0, 0), False)


@pytest.mark.parametrize(
    "message",
    [
        mm.Goodbye(),
        mm.Resync(),
        mm.Hello(1, 1, NEVER),
        join(1, 11, names=(ROW,)),
        join(1, 11, groups=(GroupRow("g", (FORGED,)),)),
        join(0, 11, names=(NameRow("a", H, Stamp(0, 0), False),)),
        join(1, 11, admission=Stamp(1, 1)),
        join(1, 11, names=(NameRow("a", H, Stamp(5, 1), False),), known=Stamp(4, 9), master=1),
        join(1, 11, known=Stamp(4, 9), master=1, copy=mm.Copy((NodeRow(2, 2, "", "", Stamp(5, 0)),), (), ())),
        join(
            1, 11, known=Stamp(4, 9), master=1, copy=mm.Copy((), (attrs.evolve(ROW, stamp=Stamp(5, 1)),), ())
        ),
    ],
)
def test_refused_before_admission(message: mm.Message) -> None:
    """The connection is closed, and nothing has changed."""
    m = master()
    m.connected("a", 0.0)
    assert "a" in closed(m.received("a", message, 0.0))
    assert m.tables.nodes == {}
    assert m.received("a", join(), 0.0) == []
    assert m.disconnected("a", 0.0) == []


def test_an_epoch_above_which_there_is_none() -> None:
    """The master goes on: it can still say in which epoch it is, to everybody."""
    last = (1 << 62) - 1
    m = master()
    said: list[fx.MasterEffect] = []
    for number in (1, 2):
        said += m.connected(number, 0.0)
        said += m.received(number, join(number, 10 + number, master=5, known=Stamp(last, 1)), 0.0)
    told = [effect.message for effect in said if isinstance(effect, fx.SendTo)]
    assert [mm.from_wire(mm.to_wire(message)) for message in told] == told
    assert [snapshot.epoch for snapshot in told if isinstance(snapshot, mm.Snapshot)] == [last, last]


@pytest.mark.parametrize(
    "message",
    [
        join(),
        mm.Hello(1, 1, NEVER),
        mm.Changes(1, 1, ()),
        mm.Snapshot(1, 1, 1, 1, (), (), ()),
        mm.Register(1, "a", FORGED, False, None),
        mm.Register(1, "a", Handle.make(1, 1, 12), False, None),
        mm.Unregister("a", FORGED),
        mm.GroupJoin("g", FORGED),
        mm.GroupLeave("g", FORGED),
    ],
)
def test_refused_after_admission(message: mm.Message) -> None:
    """The connection of the one that breaks the protocol is closed: its node is lost, no other."""
    m = master()
    for key, asked in (("a", join(1, 11)), ("b", join(2, 12))):
        m.connected(key, 0.0)
        m.received(key, asked, 0.0)
    m.received("b", mm.Register(1, "a", FORGED, False, None), 0.0)
    m.received("b", mm.GroupJoin("g", FORGED), 0.0)
    effects = m.received("a", message, 1.0)
    assert list(closed(effects)) == ["a"]
    (changes,) = sent(effects, "b", mm.Changes)
    assert changes.changes == (NodeLeft(1, 11, Leaving.LOST),)
    assert m.tables.names["a"].handle == FORGED
    assert list(m.tables.groups["g"]) == [FORGED]


def admitted_slave() -> Slave:
    slave = Slave(incarnation=11, address="127.0.0.1:1", harbor=1)
    slave.connected(0.0)
    slave.received(mm.Hello(77, 3, NEVER), 0.0)
    slave.received(mm.Snapshot(1, 77, 3, 5, (ME,), (), ()), 0.0)
    assert slave.is_admitted
    return slave


ME = NodeRow(1, 11, "127.0.0.1:1", "", Stamp(3, 1))


@pytest.mark.parametrize(
    "message",
    [
        join(),
        mm.Hello(77, 3, NEVER),
        mm.Goodbye(),
        mm.HarborTaken(ME),
        mm.Snapshot(1, 77, 2, 9, (ME,), (), ()),
        mm.Snapshot(2, 77, 3, 9, (ME,), (), ()),
        mm.Snapshot(1, 77, 3, 9, (), (), ()),
        mm.Changes(3, 6, (NodeLeft(1, 11, Leaving.LOST),)),
    ],
)
def test_a_master_that_breaks_the_protocol(message: mm.Message) -> None:
    """The slave closes the connection and keeps what it knew."""
    slave = admitted_slave()
    effects = slave.received(message, 1.0)
    assert [type(each) for each in effects if not isinstance(each, fx.SetTimer)] == [
        fx.CloseMaster,
        fx.MasterLost,
    ]
    assert slave.state is State.OFFLINE
    assert slave.nodes() == (ME,)
    assert slave.received(message, 1.0) == []
    assert slave.disconnected(1.0) == []


@pytest.mark.parametrize("broken", [mm.Changes(3, 8, ()), mm.Changes(3, 5, ()), mm.Changes(2, 6, ())])
def test_a_gap_leads_to_a_snapshot(broken: mm.Changes) -> None:
    """Changes that do not follow are not applied; a snapshot is asked for, once."""
    slave = admitted_slave()
    assert slave.received(broken, 1.0) == [fx.Send(mm.Resync())]
    assert slave.received(attrs.evolve(broken, number=30), 1.0) == []
    other = NodeRow(2, 12, "x", "", Stamp(3, 2))
    effects = slave.received(mm.Snapshot(1, 77, 3, 31, (ME, other), (), ()), 1.0)
    assert fx.Expect(other) in effects
    assert fx.MasterBack() not in effects
    assert slave.received(mm.Changes(3, 32, (NodeLeft(2, 12, Leaving.LOST),)), 1.0)
    assert slave.nodes() == (ME,)


def test_the_master_answers_a_resync() -> None:
    """With a snapshot under the number of the last changes."""
    m = master()
    m.connected("a", 0.0)
    m.received("a", join(), 0.0)
    assert sent(m.received("a", mm.Resync(), 1.0), "a") == [
        mm.Snapshot(1, 77, 1, 1, m.tables.node_rows(), (), ())
    ]


# --- links -----------------------------------------------------------------------------------------------


def test_whom_to_let_in() -> None:
    """Only what is in the table; of others news may come, unless they have ended for good."""
    world = World()
    one, two = world.start_node(1), world.start_node(2)
    world.connect_all()
    slave, other = one.slave, two.slave
    assert slave.may_accept(2, other.incarnation) is True
    assert slave.may_accept(2, 999) == "hold"
    assert slave.may_accept(3, 999) == "hold"
    for harbor, incarnation in ((1, 999), (0, 999), (256, 999), (3, slave.incarnation)):
        assert slave.may_accept(harbor, incarnation) is False
    world.do(two, other.leave(world.now))
    world.deliver_all()
    assert slave.may_accept(2, other.incarnation) is False


def test_ready_alone() -> None:
    """The first node waits for nobody."""
    world = World()
    one = world.start_node(1)
    world.connect_all()
    assert fx.Ready(()) in one.seen


def test_ready_when_all_are_linked_or_gone() -> None:
    """A link, the loss of the node, and a try in vain count alike; a link of the past does not."""
    world = World()
    first = [world.start_node(harbor) for harbor in (1, 2, 3)]
    world.connect_all()
    last = world.start_node(4)
    world.connect_all()
    slave = last.slave
    world.do(last, slave.linked(1, first[0].slave.incarnation, world.now))
    world.do(last, slave.unreachable(1, first[0].slave.incarnation, world.now))
    assert list(slave.unreachable_nodes) == []
    world.do(last, slave.unreachable(2, 999, world.now))
    assert not slave.is_ready
    world.do(last, slave.unreachable(2, first[1].slave.incarnation, world.now))
    world.crash(first[2])
    world.deliver_all()
    assert [e for e in last.seen if isinstance(e, fx.Ready)] == [fx.Ready((2,))]


def test_a_link_to_one_that_is_not_in_the_table_is_dropped() -> None:
    """The network may have been faster than the news of its end."""
    slave = admitted_slave()
    assert slave.linked(9, 99, 1.0) == [fx.Drop(9, 99, Leaving.LOST)]


def test_one_that_should_dial_is_not_awaited_for_ever() -> None:
    """After the handshake time the node is ready without it."""
    slave = Slave(incarnation=11, address="x", harbor=1, patience=5.0)
    slave.connected(0.0)
    slave.received(mm.Hello(77, 3, NEVER), 0.0)
    later = NodeRow(2, 12, "y", "", Stamp(3, 2))
    effects = slave.received(mm.Snapshot(1, 77, 3, 5, (ME, later), (), ()), 0.0)
    assert fx.Expect(later) in effects
    assert fx.SetTimer(5.0) in effects
    assert slave.tick(4.9) == []
    assert fx.Ready((2,)) in slave.tick(5.0)
    assert slave.is_ready


def test_an_order_is_renewed() -> None:
    """A node that left and came back with a later admission is awaited where it was dialled before."""
    slave = admitted_slave()
    earlier = NodeRow(2, 12, "y", "", Stamp(2, 1))
    assert fx.Dial(earlier) in slave.received(mm.Snapshot(1, 77, 3, 6, (ME, earlier), (), ()), 1.0)
    later = attrs.evolve(earlier, admission=Stamp(3, 9))
    effects = slave.received(mm.Snapshot(1, 77, 3, 7, (ME, later), (), ()), 1.0)
    assert effects == [fx.Expect(later)]
