"""What services of a node are waiting for: registrations without an answer, names without an owner.

Duty: two collections that find what they hold by number, by token and by name.
May import: the standard library, attrs, the handles of trionet and other modules of wire.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from trionet.handle import Handle
from trionet.wire.effects import Token


@attrs.define
class Ask:
    """A registration that is not answered yet.

    Args:
        number: what the master's answer carries.
        token: whom to tell.
        name: the name.
        handle: who shall own it.
        exclusive: whether there may never be two owners.
        replace: the service that hands it over, or None.
        cancelled: whether nobody is to be told any more.
    """

    number: int
    token: Token
    name: str
    handle: Handle
    exclusive: bool
    replace: Handle | None
    cancelled: bool = False


class Asks:
    """The registrations without an answer, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._all: dict[int, Ask] = {}
        self._numbers: dict[Token, int] = {}
        self._exclusive: dict[int, None] = {}
        self._last = 0

    def __iter__(self) -> Iterator[Ask]:
        return iter(list(self._all.values()))

    @property
    def has_exclusive(self) -> bool:
        """Whether any of them is for an exclusive name."""
        return bool(self._exclusive)

    def tokens(self) -> list[Token]:
        """The tokens of those who are to be told."""
        return list(self._numbers)

    def add(self, token: Token, name: str, handle: Handle, exclusive: bool, replace: Handle | None) -> Ask:
        """Note one under a new number."""
        self._last += 1
        ask = Ask(self._last, token, name, handle, exclusive, replace)
        self._numbers[token] = ask.number
        self.put_back(ask)
        return ask

    def put_back(self, ask: Ask) -> None:
        """Note one that was taken out; its token must still be known."""
        self._all[ask.number] = ask
        if ask.exclusive:
            self._exclusive[ask.number] = None

    def with_token(self, token: Token) -> Ask | None:
        """Return the one with that token, or None."""
        number = self._numbers.get(token)
        return None if number is None else self._all[number]

    def take(self, number: int) -> Ask | None:
        """Take out the one with that number, or return None; its token stays known until told."""
        self._exclusive.pop(number, None)
        return self._all.pop(number, None)

    def told(self, ask: Ask) -> None:
        """Its token is free again."""
        self._numbers.pop(ask.token, None)

    def cancel(self, ask: Ask) -> None:
        """Nobody is to be told; it stays until it is answered."""
        ask.cancelled = True
        self.told(ask)

    def drop(self, ask: Ask) -> None:
        """Forget one that will not be answered."""
        self.take(ask.number)
        if not ask.cancelled:
            self.told(ask)


class Waits:
    """Who waits for which name, each in the order of arrival."""

    def __init__(self) -> None:
        self._names: dict[Token, str] = {}
        self._tokens: dict[str, dict[Token, None]] = {}

    def __contains__(self, token: Token) -> bool:
        return token in self._names

    def tokens(self) -> list[Token]:
        """All who wait."""
        return list(self._names)

    def add(self, token: Token, name: str) -> None:
        """One more waits."""
        self._names[token] = name
        self._tokens.setdefault(name, {})[token] = None

    def remove(self, token: Token) -> None:
        """One no longer waits; nothing happens if it does not."""
        name = self._names.pop(token, None)
        if name is not None:
            del self._tokens[name][token]
            if not self._tokens[name]:
                del self._tokens[name]

    def take(self, name: str) -> list[Token]:
        """Take out all who wait for a name."""
        tokens = list(self._tokens.get(name, ()))
        for token in tokens:
            self.remove(token)
        return tokens
