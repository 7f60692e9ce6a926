"""The inbox alone: its bound, its line, what is taken and what is drained (C2, C10)."""

from __future__ import annotations

from typing import cast

import pytest

from tests.kernel.stage import lying
from trionet.kernel.actor import Actor
from trionet.kernel.inbox import MOST_WITHDRAWN, Inbox
from trionet.kernel.request import Request, State


class Letter(Request):
    """A message of which only its place matters."""

    def __init__(self, name: str = "letter") -> None:
        super().__init__(None, cast("Actor", None), name, (), {}, [], 0)
        self.let_in = 0

    def __repr__(self) -> str:
        return self.command

    def admitted(self) -> None:
        self.let_in += 1


def letters(names: str) -> list[Letter]:
    return [Letter(name) for name in names]


def test_c2_first_in_first_out() -> None:
    inbox = Inbox(10)
    sent = letters("abc")
    for each in sent:
        inbox.put(each)
    assert inbox.size == 3
    assert [inbox.take(), inbox.take(), inbox.take()] == sent
    assert inbox.take() is None
    assert inbox.size == 0


def test_c10_there_is_room_up_to_the_limit() -> None:
    inbox = Inbox(2)
    for each in letters("ab"):
        assert inbox.has_room()
        inbox.put(each)
    assert not inbox.has_room()
    inbox.take()
    assert inbox.has_room()


def test_c10_who_finds_no_room_stands_in_a_line() -> None:
    inbox = Inbox(1)
    a, b, c, d = letters("abcd")
    inbox.put(a)
    for each in (b, c, d):
        inbox.stand_in_line(each)
    assert inbox.waiting == 3
    assert inbox.is_in_line(c)
    inbox.withdraw(c)
    assert not inbox.is_in_line(c)
    assert [b.let_in, d.let_in] == [0, 0]
    assert inbox.take() is a
    assert [b.let_in, d.let_in, inbox.waiting, inbox.size] == [1, 0, 1, 1]
    assert not inbox.is_in_line(b)
    assert inbox.take() is b
    assert inbox.take() is d
    assert inbox.take() is None


def test_c10_nobody_overtakes_the_line() -> None:
    """Room that is free while somebody stands in line is not for who comes later."""
    inbox = Inbox(2)
    a, b, c = letters("abc")
    inbox.put(a)
    inbox.put(b)
    inbox.stand_in_line(c)
    assert not inbox.has_room()
    inbox.take()
    assert inbox.size == 2
    assert not inbox.has_room()


def test_c10_what_came_without_regard_to_the_bound_lets_nobody_in() -> None:
    inbox = Inbox(1)
    a, b, c, waiting = letters("abcw")
    for each in (a, b, c):
        inbox.put(each)
    inbox.stand_in_line(waiting)
    assert inbox.take() is a
    assert inbox.take() is b
    assert waiting.let_in == 0
    assert inbox.take() is c
    assert waiting.let_in == 1


def test_c6_what_was_withdrawn_is_not_taken() -> None:
    inbox = Inbox(3)
    a, b, c, d = letters("abcd")
    for each in (a, b, c):
        inbox.put(each)
    inbox.stand_in_line(d)
    inbox.withdraw(b)
    assert d.let_in == 1
    inbox.withdraw(a)
    assert inbox.take() is c
    inbox.withdraw(d)
    assert [each.state for each in (a, b, d)] == [State.DONE] * 3
    assert inbox.take() is None
    assert inbox.size == 0


def test_c10_the_room_of_what_was_withdrawn_is_free_at_once() -> None:
    """For the one who waits longest, and then for whoever comes."""
    inbox = Inbox(2)
    a, b, c, d, e = letters("abcde")
    inbox.put(a)
    inbox.put(b)
    inbox.stand_in_line(c)
    inbox.withdraw(a)
    assert [c.let_in, inbox.size, inbox.waiting, inbox.has_room()] == [1, 2, 0, False]
    inbox.withdraw(b)
    assert [inbox.size, inbox.has_room()] == [1, True]
    inbox.put(d)
    assert not inbox.has_room()
    inbox.stand_in_line(e)
    assert [inbox.take(), inbox.take(), inbox.take(), inbox.take()] == [c, d, e, None]


@pytest.mark.parametrize("kept", [0, 3, 200])
def test_c10_not_more_is_withdrawn_than_waits(kept: int) -> None:
    """Callers that give up again and again do not fill the memory; the others keep their order."""
    inbox = Inbox(1000)
    stay = [Letter(str(number)) for number in range(kept)]
    most = 0
    for number in range(2000):
        if number < kept:
            inbox.put(stay[number])
        gone = Letter("gone")
        inbox.put(gone)
        inbox.withdraw(gone)
        most = max(most, lying(inbox) - inbox.size)
    assert inbox.size == kept
    assert most == max(MOST_WITHDRAWN, kept)
    assert [inbox.take() for _ in range(kept)] == stay
    assert inbox.take() is None


def test_c8_a_drained_inbox_gives_all_in_order() -> None:
    inbox = Inbox(2)
    a, b, c, d, e = letters("abcde")
    inbox.put(a)
    inbox.put(b)
    inbox.stand_in_line(c)
    inbox.stand_in_line(d)
    inbox.put(e)
    inbox.withdraw(e)
    assert inbox.drain() == [a, b, c, d]
    assert inbox.closed
    assert (inbox.size, inbox.waiting) == (0, 0)
    assert [c.let_in, d.let_in] == [0, 0]
    assert inbox.drain() == []
