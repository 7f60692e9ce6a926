"""Ctrl-C: raised where something is waited for, kept where it would lose something."""

from __future__ import annotations

import signal

import pytest

from trionet.cli.interrupts import Interrupts


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_is_raised_where_it_is_allowed() -> None:
    former = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt), interrupts.allowed():
                interrupt()
        with interrupts.allowed():
            pass
    assert signal.getsignal(signal.SIGINT) is former


def test_elsewhere_it_waits_for_such_a_place() -> None:
    reached = []
    with Interrupts() as interrupts:
        interrupt()
        interrupt()
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            reached.append("inside")
        with interrupts.allowed():
            reached.append("afterwards")
    assert reached == ["afterwards"]
