"""The contract as invariants over the history of a random life.

Each rule yields a sentence for each breach; a life that keeps the contract yields none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.sim.random_life import PATIENCE, Event
from trionet import Handle

#: Seconds after which a silent link is dead at the latest, plus the slowest messages there and back.
SILENCE = 20.0 + 5.0 + 2.0
#: Seconds that a call may take over its time: a silent link, or the wait for the confirmation.
SLACK = SILENCE + 2.0


class History:
    """A history, by kind of event and by message."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.of: dict[str, dict[Any, list[Event]]] = defaultdict(dict)
        for event in events:
            self.of[event.what].setdefault(event.key, []).append(event)
        self.last = events[-1].time

    def first(self, what: str, key: Any) -> Event | None:
        """The first event of a kind about a message, or None."""
        found = self.of[what].get(key)
        return found[0] if found else None

    def incarnations_that_crashed(self) -> set[int]:
        """The incarnations of nodes that did not end in order."""
        return {event.more for events in self.of["crash"].values() for event in events}


def breaches(events: list[Event], names: dict[int, dict[str, Handle]]) -> list[str]:
    """All breaches of the contract, one sentence each."""
    history = History(events)
    rules = (
        every_call_ends,
        calls_end_in_time,
        at_most_once,
        executed_is_true_to_life,
        order_is_kept,
        cancellation_travels,
        nothing_is_lost_silently,
        handles_reach_whom_they_mean,
        watchers_are_told_once,
        nothing_runs_at_the_end,
    )
    found = [f"{rule.__name__}: {breach}" for rule in rules for breach in rule(history)]
    return found + [f"names_agree: {breach}" for breach in names_agree(history, names)]


def every_call_ends(history: History) -> Iterator[str]:
    """C4: each call, send and watch that began is over."""
    for what in ("call", "send"):
        for number in history.of[what]:
            ends = history.of[f"{what} over"].get(number, [])
            if len(ends) != 1:
                yield f"{what} {number} has {len(ends)} ends"


def calls_end_in_time(history: History) -> Iterator[str]:
    """C4, C6: after its deadline, its caller's patience or the loss of its link nobody waits on."""
    for number, (event, *_) in history.of["call"].items():
        over = history.first("call over", number)
        _, _, _, deadline, patience = event.more
        allowed = min(deadline if deadline is not None else PATIENCE, patience) + SLACK
        if over is not None and over.time - event.time > allowed:
            yield f"call {number} took {over.time - event.time:.3f} seconds, allowed {allowed:.3f}"


def at_most_once(history: History) -> Iterator[str]:
    """C3: no message is handled twice."""
    for what in ("began", "heard"):
        for number, events in history.of[what].items():
            if len(events) > 1:
                yield f"message {number} {what} {len(events)} times"


def executed_is_true_to_life(history: History) -> Iterator[str]:
    """C4: what an error says about the handler is so, and a value means that it ended."""
    for number, (over, *_) in history.of["call over"].items():
        kind, executed = over.more
        began = history.first("began", number)
        if executed is False and began is not None:
            yield f"call {number} ended with {kind}, executed False, but its handler began"
        if executed is True and began is None:
            yield f"call {number} ended with {kind}, executed True, but its handler never began"
        if kind == "value" and history.first("ended", number) is None:
            yield f"call {number} has a value, but its handler never ended"
        if began is not None and began.time > over.time + SLACK:
            yield f"the handler of call {number} began {began.time - over.time:.3f} seconds after its end"


def order_is_kept(history: History) -> Iterator[str]:
    """C2: what one task sends to one service is heard in that order."""
    places: dict[Any, int] = defaultdict(int)
    for event in history.events:
        if event.what == "heard":
            handle, _, source, place = event.more
            if place <= places[source, handle]:
                yield f"{handle} heard message {place} of {source} after message {places[source, handle]}"
            places[source, handle] = place


def cancellation_travels(history: History) -> Iterator[str]:
    """C6: a handler whose caller has gone is cancelled, unless it is shielded; at once, or with the link."""
    shielded = {number for number, (call, *_) in history.of["call"].items() if call.more[1] == "persist"}
    for number, (began, *_) in history.of["began"].items():
        over = history.first("call over", number)
        end = history.first("ended", number) or history.first("cancelled", number)
        if number in shielded or over is None or began.more[0].incarnation in crashed(history):
            continue
        until = history.last if end is None else end.time
        if until - max(over.time, began.time) > SLACK:
            yield f"the handler of call {number} ran on for {until - over.time:.3f} seconds"


def crashed(history: History) -> set[int]:
    return history.incarnations_that_crashed()


def nothing_is_lost_silently(history: History) -> Iterator[str]:
    """C5: what was sent is heard, is a dead letter of the sender, or lay in the inbox of what ended.

    So a service that lives to the end has heard all that was sent to it, or else the sender was told.
    """
    ended = set(history.of["end"])
    for number, (over, *_) in history.of["send over"].items():
        target: Handle = history.of["send"][number][0].more[0]
        source: str = history.of["send"][number][0].more[1]
        sender_crashed = any(f"{incarnation:016x}" in source for incarnation in crashed(history))
        if over.more != "sent" or sender_crashed or target in ended or target.incarnation in crashed(history):
            continue
        if not history.first("heard", number) and not history.first("dead letter", number):
            yield f"message {number} of {source} to {target!r} was neither heard nor a dead letter"


def handles_reach_whom_they_mean(history: History) -> Iterator[str]:
    """C12: no message reaches another service than it was meant for, of whatever incarnation."""
    for what in ("began", "heard"):
        for number, events in history.of[what].items():
            for event in events:
                got, meant = event.more[:2]
                if got != meant:
                    yield f"message {number} for {meant!r} reached {got!r}"


def watchers_are_told_once(history: History) -> Iterator[str]:
    """C15: of whom they watched, and not of the living as if they had ended by themselves."""
    ended = {event.key: event.more for events in history.of["end"].values() for event in events}
    for number, events in history.of["told"].items():
        target = history.of["watch"][number][0].more
        if len(events) != 1 or events[0].more[0] != target:
            yield f"watch {number} was told {len(events)} times"
        reason = events[0].more[1]
        if reason not in (
            "node down",
            "gone",
            {"stop": "stopped", "kill": "killed"}.get(str(ended.get(target))),
        ):
            yield f"watch {number} was told that {target!r} is {reason}, which was {ended.get(target)}"


def nothing_runs_at_the_end(history: History) -> Iterator[str]:
    """C4, C6: long after the trouble nobody works any more, and no inbox holds anything."""
    for handle, events in history.of["at the end"].items():
        number, running, inbox = events[0].more
        if running or inbox:
            yield f"{handle} on node {number} has {running} handlers and {inbox} messages"


def names_agree(history: History, names: dict[int, dict[str, Handle]]) -> Iterator[str]:
    """C11: after the trouble every node has the same table, and each owner lives."""
    tables = list(names.values())
    if any(table != tables[0] for table in tables):
        yield f"the tables differ: {names}"
    living = set(history.of["at the end"])
    for name, handle in tables[0].items():
        if handle not in living:
            yield f"{name!r} belongs to {handle!r}, which does not live"
