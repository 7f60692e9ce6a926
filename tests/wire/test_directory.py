"""The directory alone: each command, what it changes and what it refuses."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionet.handle import MAX_HARBOR, Handle
from trionet.wire import directory as directory_module
from trionet.wire import tables as tables_module
from trionet.wire.directory import FULL, LATER, Directory, Granted, Taken
from trionet.wire.tables import (
    NEVER,
    Change,
    GroupRow,
    Leaving,
    MembersChanged,
    NameGone,
    NameRow,
    NameSet,
    NodeJoined,
    NodeLeft,
    NodeRow,
    Stamp,
    Tables,
    name_weight,
)

HOLD = 40.0
INCARNATION = {1: 0xA1, 2: 0xB2, 3: 0xC3}


def node(harbor: int, incarnation: int | None = None, admission: Stamp = NEVER) -> NodeRow:
    return NodeRow(harbor, incarnation or INCARNATION[harbor], f"127.0.0.1:{2000 + harbor}", "", admission)


def handle(harbor: int, local: int = 1, incarnation: int | None = None) -> Handle:
    return Handle.make(harbor, local, incarnation or INCARNATION[harbor])


def name_row(name: str, owner: Handle, stamp: Stamp, exclusive: bool = False) -> NameRow:
    return NameRow(name, owner, stamp, exclusive)


def directory(*harbors: int, settled: float = 0.0) -> Directory:
    made = Directory(hold=HOLD, settled=settled)
    for harbor in harbors:
        made.admit(node(harbor), (), (), 0.0)
    return made


def register(
    d: Directory, name: str, owner: Handle, *, exclusive: bool = False, replace: Handle | None = None
) -> directory_module.Verdict:
    return d.register(name, owner, exclusive=exclusive, replace=replace, now=1.0)[0]


def owner(d: Directory, name: str) -> Handle | None:
    row = d.tables.names.get(name)
    return None if row is None else row.handle


# --- nodes ---------------------------------------------------------------------------------------------


def test_admissions_are_in_order() -> None:
    """The later admitted of a pair dials."""
    d = directory(2, 1)
    assert d.tables.nodes[1].dials(d.tables.nodes[2])
    assert not d.tables.nodes[2].dials(d.tables.nodes[1])


def test_admitting_again_changes_nothing() -> None:
    """The same incarnation keeps its row and its admission."""
    d = directory(1, 2)
    before = d.tables.node_rows()
    assert d.admit(node(1), (), (), 1.0) == []
    assert d.tables.node_rows() == before


def test_a_new_address_keeps_the_admission() -> None:
    """A node that comes back elsewhere is told to all, and the dial rule stays."""
    d = directory(1)
    moved = attrs.evolve(node(1), address="127.0.0.1:9")
    changes = d.admit(moved, (), (), 1.0)
    assert changes == [NodeJoined(attrs.evolve(moved, admission=Stamp(1, 1)))]


def test_another_incarnation_supersedes() -> None:
    """The old one leaves before the new one joins, its plain names go."""
    d = directory(1)
    register(d, "a", handle(1))
    changes = d.admit(node(1, 0xFF), (), (), 1.0)
    assert changes[0] == NodeLeft(1, 0xA1, Leaving.SUPERSEDED)
    assert [type(each) for each in changes] == [NodeLeft, NodeJoined]
    assert owner(d, "a") is None


def test_losing_a_node_that_is_not_there() -> None:
    """Nothing changes."""
    assert directory(1).lose(2, Leaving.LOST, 1.0) == []


def test_free_harbors() -> None:
    """Every id is found exactly once, then none."""
    d = directory()
    taken: list[int] = []
    for _ in range(MAX_HARBOR):
        harbor = d.free_harbor(1000, taken)
        assert harbor is not None
        taken.append(harbor)
    assert sorted(taken) == list(range(1, MAX_HARBOR + 1))
    assert d.free_harbor(1000, taken) is None


def test_epoch_rises_above_what_was_seen() -> None:
    """And never falls."""
    d = directory()
    d.raise_epoch(7)
    d.raise_epoch(3)
    assert d.epoch == 8


# --- names ---------------------------------------------------------------------------------------------


def test_first_registration_wins() -> None:
    """The second one is told the owner."""
    d = directory(1, 2)
    first = register(d, "a", handle(1))
    assert first == Granted(NameRow("a", handle(1), Stamp(1, 3), False))
    assert register(d, "a", handle(2)) == Taken(handle(1))
    assert register(d, "a", handle(1)) == first


def test_replace_moves_a_name_within_its_node() -> None:
    """With a new stamp, and only from its owner to a service of the same incarnation."""
    d = directory(1, 2)
    register(d, "a", handle(1))
    assert register(d, "a", handle(1, 2), replace=handle(1, 3)) == Taken(handle(1))
    assert register(d, "a", handle(2), replace=handle(1)) == Taken(handle(1))
    assert register(d, "a", handle(1, 2)) == Taken(handle(1))
    moved = register(d, "a", handle(1, 2), replace=handle(1))
    assert moved == Granted(NameRow("a", handle(1, 2), Stamp(1, 4), False))


def test_replace_of_nothing_registers() -> None:
    """A name that went meanwhile is simply taken."""
    d = directory(1)
    assert isinstance(register(d, "a", handle(1, 2), replace=handle(1)), Granted)


def test_only_the_owner_unregisters() -> None:
    """Anything else changes nothing."""
    d = directory(1, 2)
    register(d, "a", handle(1))
    assert d.unregister("a", handle(2)) == []
    assert d.unregister("b", handle(1)) == []
    assert d.unregister("a", handle(1)) == [NameGone("a", handle(1))]


def test_a_name_becomes_exclusive() -> None:
    """Its owner may ask for it again in the other way."""
    d = directory(1)
    register(d, "a", handle(1))
    register(d, "a", handle(1), exclusive=True)
    assert d.tables.names["a"].exclusive


def test_names_of_a_lost_node() -> None:
    """Plain ones go with it, exclusive ones after the hold time."""
    d = directory(1, 2)
    register(d, "plain", handle(1))
    register(d, "excl", handle(1), exclusive=True)
    assert d.lose(1, Leaving.LOST, 100.0) == [NodeLeft(1, 0xA1, Leaving.LOST)]
    assert owner(d, "plain") is None
    assert register(d, "excl", handle(2), exclusive=True) == Taken(handle(1))
    assert d.deadline == 100.0 + HOLD
    assert d.expire(100.0 + HOLD - 1) == []
    assert d.expire(100.0 + HOLD) == [NameGone("excl", handle(1))]
    assert d.deadline is None


def test_goodbye_frees_exclusive_names() -> None:
    """A node that says goodbye has given up all it owned."""
    d = directory(1)
    register(d, "excl", handle(1), exclusive=True)
    changes = d.lose(1, Leaving.GOODBYE, 100.0)
    assert changes == [NameGone("excl", handle(1)), NodeLeft(1, 0xA1, Leaving.GOODBYE)]
    assert d.deadline is None


def test_a_node_that_returns_in_time_keeps_its_exclusive_name() -> None:
    """The reservation ends when it claims the name."""
    d = directory(1)
    register(d, "excl", handle(1), exclusive=True)
    row = d.tables.names["excl"]
    d.lose(1, Leaving.LOST, 100.0)
    d.admit(node(1), [row], (), 110.0)
    assert d.deadline is None
    assert d.tables.names["excl"] == row


def test_what_a_returning_node_does_not_claim_is_free() -> None:
    """An exclusive name too: its owner says itself that it has withdrawn it."""
    d = directory(1)
    register(d, "excl", handle(1), exclusive=True)
    d.lose(1, Leaving.LOST, 100.0)
    assert NameGone("excl", handle(1)) in d.admit(node(1), (), (), 110.0)
    assert d.deadline is None


def test_settling() -> None:
    """Unknown exclusive names wait, known ones are refused, plain ones are granted."""
    d = directory(1, 2, settled=50.0)
    assert register(d, "excl", handle(1), exclusive=True) == LATER
    assert isinstance(register(d, "plain", handle(1)), Granted)
    assert register(d, "plain", handle(2), exclusive=True) == Taken(handle(1))
    verdict, _ = d.register("excl", handle(1), exclusive=True, replace=None, now=50.0)
    assert isinstance(verdict, Granted)


# --- claims --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed_first", [True, False])
def test_the_higher_stamp_wins(claimed_first: bool) -> None:
    """Whichever of two owners comes first."""
    low = name_row("a", handle(1), Stamp(1, 9))
    high = name_row("a", handle(2), Stamp(2, 1))
    d = directory()
    order = [low, high] if claimed_first else [high, low]
    for row in order:
        d.admit(node(row.handle.harbor), [row], (), 0.0)
    assert d.tables.names["a"] == high


def test_equal_stamps_have_a_winner_too() -> None:
    """Two masters that never met can give one stamp twice: the higher handle wins, in any order."""
    rows = [name_row("a", handle(1), Stamp(1, 1)), name_row("a", handle(2), Stamp(1, 1))]
    winners = set()
    for order in (rows, rows[::-1]):
        d = directory()
        for row in order:
            d.admit(node(row.handle.harbor), [row], (), 0.0)
        winners.add(owner(d, "a"))
    assert winners == {handle(2)}


def test_a_connected_exclusive_owner_stays() -> None:
    """Even against a higher stamp: the one that was cut off has lost its lease."""
    d = directory(1)
    register(d, "a", handle(1), exclusive=True)
    d.admit(node(2), [name_row("a", handle(2), Stamp(9, 9), exclusive=True)], (), 0.0)
    assert owner(d, "a") == handle(1)


def test_a_claim_from_the_same_node() -> None:
    """The node knows best which of its services owns the name."""
    d = directory(1)
    register(d, "a", handle(1))
    register(d, "a", handle(1, 2), replace=handle(1))
    d.admit(node(1), [name_row("a", handle(1), Stamp(1, 2))], (), 0.0)
    assert owner(d, "a") == handle(1)
    assert d.tables.names["a"].stamp > Stamp(1, 3)


# --- restoring -----------------------------------------------------------------------------------------


def test_restored_nodes_are_absent_until_they_return() -> None:
    """What they own stays; when they return, rows and stamps are as before."""
    d = directory()
    row = node(1, admission=Stamp(3, 5))
    owned = name_row("a", handle(1), Stamp(3, 6))
    members = GroupRow("g", (handle(1), handle(1, 2)))
    d.restore([row], [owned], [members], 0.0)
    assert d.is_absent(1)
    assert register(d, "a", handle(2)) == Taken(handle(1))
    assert d.admit(attrs.evolve(row, admission=NEVER), [owned], [members], 5.0) == []
    assert not d.is_absent(1)
    assert d.tables == Tables.of([row], [owned], [members])


def test_restored_nodes_that_do_not_return_are_lost() -> None:
    """With all their names, exclusive ones included, and all at once."""
    d = directory()
    rows = [name_row("a", handle(1), Stamp(3, 6)), name_row("e", handle(1), Stamp(3, 7), exclusive=True)]
    d.restore([node(1, admission=Stamp(3, 5))], rows, [GroupRow("g", (handle(1),))], 0.0)
    assert d.expire(HOLD - 0.1) == []
    assert d.expire(HOLD) == [NameGone("e", handle(1)), NodeLeft(1, 0xA1, Leaving.LOST)]
    assert d.tables == Tables()
    assert d.deadline is None


def test_a_restored_reservation() -> None:
    """An exclusive name whose owner vanished before the master did stays reserved for a while."""
    d = directory(2)
    row = name_row("e", handle(1), Stamp(1, 1), exclusive=True)
    d.restore([], [row, name_row("plain", handle(1), Stamp(1, 2))], [], 10.0)
    assert register(d, "e", handle(2), exclusive=True) == Taken(handle(1))
    assert owner(d, "plain") is None
    d.restore([], [row], [], 20.0)
    assert d.deadline == 20.0 + HOLD
    assert d.expire(20.0 + HOLD) == [NameGone("e", handle(1))]


def test_a_copy_says_nothing_about_connected_nodes() -> None:
    """They have said themselves what they own."""
    d = directory(1)
    d.restore(
        [node(1, 0xFF, Stamp(9, 9))],
        [name_row("a", handle(1), Stamp(9, 9)), name_row("e", handle(1), Stamp(9, 9), exclusive=True)],
        [GroupRow("g", (handle(1),))],
        0.0,
    )
    assert d.tables == Tables.of([node(1, admission=Stamp(1, 1))], [], [])


# --- groups and limits ---------------------------------------------------------------------------------


def test_groups() -> None:
    """Members come and go one by one, and with their node."""
    d = directory(1, 2)
    assert d.join_group("g", handle(1)) == [MembersChanged("g", (handle(1),), ())]
    assert d.join_group("g", handle(1)) == []
    d.join_group("g", handle(2))
    assert d.leave_group("g", handle(1, 5)) == []
    d.lose(1, Leaving.LOST, 0.0)
    assert list(d.tables.groups["g"]) == [handle(2)]
    assert d.leave_group("g", handle(2)) == [MembersChanged("g", (), (handle(2),))]
    assert d.tables.groups == {}


def test_a_returning_node_says_what_it_is_member_of() -> None:
    """Memberships that it does not report end, new ones begin."""
    d = directory(1)
    d.join_group("g", handle(1))
    d.join_group("g", handle(1, 2))
    d.join_group("h", handle(1))
    reported = [GroupRow("g", (handle(1, 2), handle(1, 3)))]
    d.admit(node(1), (), reported, 0.0)
    assert d.tables.group_rows() == tuple(reported)


def test_full_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name and no member is let in that has no room; what is known can still be changed."""
    d = directory(1)
    monkeypatch.setattr(directory_module, "MAX_WEIGHT", name_weight("a") + name_weight("g"))
    register(d, "a", handle(1))
    assert d.join_group("g", handle(1)) is not None
    assert register(d, "b", handle(1)) == FULL
    assert d.join_group("g", handle(1, 2)) is None
    assert isinstance(register(d, "a", handle(1, 2), replace=handle(1)), Granted)
    d.admit(node(1), [name_row(each, handle(1), Stamp(1, 1)) for each in "abc"], (), 0.0)
    assert d.tables.weight <= name_weight("a") + name_weight("g")
    d.unregister("a", handle(1))
    assert isinstance(register(d, "b", handle(1)), Granted)


def test_a_full_snapshot_fits_into_a_message() -> None:
    """The bound on the tables leaves room below the largest message of a link."""
    assert tables_module.MAX_WEIGHT <= 8 * 1024 * 1024
    assert tables_module.MAX_WEIGHT // tables_module.ROW_WEIGHT <= tables_module.MAX_ROWS


# --- tables --------------------------------------------------------------------------------------------

harbors = st.sampled_from([1, 2, 3])
owners = st.builds(handle, harbors, st.integers(1, 3))
name_rows = st.builds(NameRow, st.sampled_from("abc"), owners, st.just(Stamp(1, 1)), st.booleans())
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(NodeJoined, harbors.map(node)),
    st.builds(NodeLeft, harbors, st.sampled_from([0xA1, 0xB2]), st.sampled_from(Leaving)),
    st.builds(NameSet, name_rows),
    st.builds(NameGone, st.sampled_from("abc"), owners),
    st.builds(
        MembersChanged,
        st.sampled_from("gh"),
        st.lists(owners, max_size=3).map(tuple),
        st.lists(owners, max_size=3).map(tuple),
    ),
)


@given(st.lists(changes, max_size=30))
def test_tables_are_the_sum_of_their_rows(made: list[Change]) -> None:
    """After any changes: rebuilt from its rows a table is equal, weight included; touched is exact."""
    tables = Tables()
    for change in made:
        names, groups = tables.touched(change)
        before = Tables.of(tables.node_rows(), tables.name_rows(), tables.group_rows())
        tables.apply(change)
        for name in {*before.names, *tables.names} - set(names):
            assert before.names.get(name) == tables.names.get(name)
        for group in {*before.groups, *tables.groups} - set(groups):
            assert before.groups.get(group) == tables.groups.get(group)
    assert tables == Tables.of(tables.node_rows(), tables.name_rows(), tables.group_rows())


@given(st.lists(changes, max_size=20))
def test_a_change_made_twice_is_made_once(made: list[Change]) -> None:
    """Applying the last change again has no effect."""
    tables = Tables()
    for change in made:
        tables.apply(change)
    again = Tables.of(tables.node_rows(), tables.name_rows(), tables.group_rows())
    if made:
        again.apply(made[-1])
    assert again == tables
