"""Messages between master and slave: what is sent arrives, and nothing else is let in."""

from __future__ import annotations

from typing import Any, get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionet.handle import MAX_HARBOR, MAX_LOCAL, Handle
from trionet.wire import master_messages as mm
from trionet.wire.errors import ProtocolError
from trionet.wire.tables import (
    MAX_ADDRESS,
    MAX_ROWS,
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
)

u64 = st.integers(0, 2**64 - 1)
count = st.integers(0, 2**62 - 1)
harbor = st.integers(1, MAX_HARBOR)
handle = st.builds(Handle.make, harbor, st.integers(1, MAX_LOCAL), u64)
name = st.from_regex(r"[a-zA-Zé_][a-zA-Z0-9._é-]{0,20}", fullmatch=True)
words = st.text(st.characters(categories=["L", "N", "P"]), max_size=20)
stamp = st.builds(Stamp, count, count)
node = st.builds(NodeRow, harbor, u64, words, words, stamp)
row = st.builds(NameRow, name, handle, stamp, st.booleans())
handles = st.lists(handle, max_size=4).map(tuple)
group = st.builds(GroupRow, name, handles)
nodes = st.lists(node, max_size=3).map(tuple)
rows = st.lists(row, max_size=3).map(tuple)
group_rows = st.lists(group, max_size=3).map(tuple)
copy = st.builds(mm.Copy, nodes, rows, group_rows)
change: st.SearchStrategy[Change] = st.one_of(
    st.builds(NodeJoined, node),
    st.builds(NodeLeft, harbor, u64, st.sampled_from(Leaving)),
    st.builds(NameSet, row),
    st.builds(NameGone, name, handle),
    st.builds(MembersChanged, name, handles, handles),
)
MESSAGES: dict[type, st.SearchStrategy[Any]] = {
    mm.Hello: st.builds(mm.Hello, u64, count, stamp),
    mm.Join: st.builds(
        mm.Join,
        st.integers(0, MAX_HARBOR),
        u64,
        words,
        words,
        stamp,
        u64,
        stamp,
        rows,
        group_rows,
        st.none() | copy,
    ),
    mm.Snapshot: st.builds(mm.Snapshot, harbor, u64, count, count, nodes, rows, group_rows),
    mm.HarborTaken: st.builds(mm.HarborTaken, node),
    mm.Superseded: st.builds(mm.Superseded, harbor),
    mm.Refused: st.builds(mm.Refused, words),
    mm.Changes: st.builds(mm.Changes, count, count, st.lists(change, max_size=5).map(tuple)),
    mm.Resync: st.builds(mm.Resync),
    mm.Register: st.builds(mm.Register, count, name, handle, st.booleans(), st.none() | handle),
    mm.Registered: st.builds(mm.Registered, count, stamp),
    mm.NameRefused: st.builds(mm.NameRefused, count, st.sampled_from(mm.Denial), st.none() | handle),
    mm.Unregister: st.builds(mm.Unregister, name, handle),
    mm.GroupJoin: st.builds(mm.GroupJoin, name, handle),
    mm.GroupLeave: st.builds(mm.GroupLeave, name, handle),
    mm.GroupRefused: st.builds(mm.GroupRefused, name, handle),
    mm.Renew: st.builds(mm.Renew, count),
    mm.Renewed: st.builds(mm.Renewed, count),
    mm.Probe: st.builds(mm.Probe, u64),
    mm.ProbeAnswer: st.builds(mm.ProbeAnswer, u64),
    mm.Goodbye: st.builds(mm.Goodbye),
}
messages = st.one_of(*MESSAGES.values())
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.integers(), inner, max_size=2),
    max_leaves=12,
)


def is_plain(item: Any) -> bool:
    if type(item) is list:
        return all(is_plain(each) for each in item)
    return item is None or type(item) in (bool, int, str)


def test_every_message_has_a_strategy() -> None:
    """The table of this test leaves none out."""
    assert set(MESSAGES) == set(get_args(mm.Message))


@given(messages)
def test_round_trip(message: mm.Message) -> None:
    """What is sent arrives equal, as nothing but lists of plain scalars."""
    wire = mm.to_wire(message)
    assert is_plain(wire)
    assert mm.from_wire(wire) == message


@given(plain | st.lists(plain, max_size=8) | st.tuples(st.integers(0, 22), plain).map(list))
def test_garbage(item: Any) -> None:
    """Garbage is refused, or it is the wire form of a message."""
    try:
        message = mm.from_wire(item)
    except ProtocolError:
        return
    assert mm.to_wire(message) == item


def spots(item: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Every place in nested lists."""
    found = [path]
    if type(item) is list:
        for index, each in enumerate(item):
            found += spots(each, (*path, index))
    return found


def put(item: Any, path: tuple[int, ...], new: Any) -> Any:
    if not path:
        return new
    return [put(each, path[1:], new) if at == path[0] else each for at, each in enumerate(item)]


@given(messages, st.data())
def test_a_changed_part(message: mm.Message, data: st.DataObject) -> None:
    """A message with one part replaced by anything is refused, or is what it says."""
    wire = mm.to_wire(message)
    path = data.draw(st.sampled_from(spots(wire)))
    changed = put(wire, path, data.draw(plain))
    try:
        read = mm.from_wire(changed)
    except ProtocolError:
        return
    assert mm.to_wire(read) == changed


H = Handle.make(1, 1, 9)
BAD: list[tuple[mm.Message, str]] = [
    (mm.Register(-1, "x", H, False, None), "Register.token"),
    (mm.Register(2**62, "x", H, False, None), "Register.token"),
    (mm.Register(True, "x", H, False, None), "Register.token"),
    (mm.Register(1, ".x", H, False, None), "own node only"),
    (mm.Register(1, "a b", H, False, None), "no name"),
    (mm.Register(1, "x" * 256, H, False, None), "longer than"),
    (mm.Register(1, b"x", H, False, None), "is no name"),  # type: ignore[arg-type]
    (mm.Register(1, "x", Handle(1, 9), False, None), "Register.handle"),
    (mm.Register(1, "x", H, 1, None), "is no bool"),  # type: ignore[arg-type]
    (mm.Register(1, "x", None, False, None), "is no handle"),  # type: ignore[arg-type]
    (mm.Superseded(0), "no int in 1..255"),
    (mm.Superseded(256), "no int in 1..255"),
    (mm.Probe(2**64), "Probe.token"),
    (mm.Refused("x" * 513), "no text"),
    (mm.Refused("line\nline"), "printable"),
    (mm.Refused("\ud800"), "surrogate"),
    (mm.Refused("é" * 300), "at most 512 bytes"),
    (mm.NameRefused(1, "taken", None), "is no Denial"),  # type: ignore[arg-type]
    (mm.Changes(1, 1, [NameGone("x", H)]), "is no tuple"),  # type: ignore[arg-type]
    (mm.Changes(1, 1, (H,)), "is not known here"),  # type: ignore[arg-type]
    (mm.HarborTaken(H), "is no NodeRow"),  # type: ignore[arg-type]
    (mm.HarborTaken(NodeRow(1, 1, "a" * (MAX_ADDRESS + 1), "", Stamp(0, 0))), "NodeRow.address"),
    (mm.Snapshot(1, 1, 1, 1, (NodeRow(1, 1, "", "", Stamp(0, 0)),) * 256, (), ()), "Snapshot.nodes"),
    (mm.Snapshot(1, 1, 1, 1, (), (), (GroupRow("g", (H,) * (MAX_ROWS + 1)),)), "GroupRow.members"),
]


@pytest.mark.parametrize(("message", "found"), BAD)
def test_limits_hold_for_the_sender(message: mm.Message, found: str) -> None:
    """A message that breaks a limit is not sent; the error says which field is wrong."""
    with pytest.raises(ProtocolError, match=found):
        mm.to_wire(message)


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        [0],
        [99],
        [True, 1, 1, [0, 0]],
        ["1"],
        [8, 1],
        [1, 1, 1],
        (8,),
        [18, -1],
        [18, 1.0],
        [10, 1, [1]],
        [10, 1, 5],
        [11, 1, "gone", None],
        [11, 1, 7, None],
        [13, "g", [16777216, 1]],
        [13, "g", [1 << 32, 1]],
        [13, "g", [16777217]],
        [13, "g", [33554432, 1]],
        [7, 1, 1, [[6]]],
        [7, 1, 1, {}],
        [12, 5, [16777217, 1]],
    ],
)
def test_refused_by_the_receiver(item: Any) -> None:
    """Each of these lists is no message."""
    with pytest.raises(ProtocolError):
        mm.from_wire(item)


def test_only_frozen_messages() -> None:
    """Messages are values."""
    assert all(attrs.inspect(cls).is_frozen for cls in MESSAGES)
