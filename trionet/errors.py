"""Every exception of trionet, in one flat list.

Duty: the error hierarchy.  A failed call raises exactly one of the subclasses of :class:`CallError`,
or an exception class that was declared with :func:`trionet.value`.
May import: the standard library, attrs, and from Trio the one class that a deadline error also is.

``executed`` tells what is known about the handler: False, it certainly never started; True, it
certainly started; None, nobody can know.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from trio import TooSlowError

from trionet.handle import Handle


class TrionetError(Exception):
    """Base of all errors that trionet raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled and copied whatever its constructor takes, to leave a worker process for one."""
        return _made_again, (type(self), self.args, dict(self.__dict__))


def _made_again(cls: type[TrionetError], args: tuple[Any, ...], state: dict[str, Any]) -> TrionetError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


def text_of(error: BaseException) -> str:
    """The text of any exception, also of one whose own ``__str__`` raises."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return "<no text: its __str__ raised>"


def printable(text: str) -> str:
    """The text with what UTF-8 cannot encode escaped, so that it can be written to any log."""
    return text.encode("utf-8", "backslashreplace").decode()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that proposes the nearest known word, or nothing."""
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), list(folded), n=1)
    return f'; did you mean "{folded[near[0]]}"?' if near else ""


class ConfigError(TrionetError):
    """A configuration cannot be used; lists every problem that was found, not only the first.

    Args:
        problems: one line each: file, key, what was found and what was expected.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(*problems)
        self.problems: tuple[str, ...] = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class NameTaken(TrionetError):
    """A name could not be registered, because another service owns it.

    Args:
        name: the name.
        owner: the handle of its owner, or None while the name is reserved by a service that is
            starting or being restarted.
    """

    def __init__(self, name: str, owner: Handle | None) -> None:
        super().__init__(name, owner)
        self.name = name
        self.owner = owner

    def __str__(self) -> str:
        by = "reserved by a starting service" if self.owner is None else f"owned by {self.owner}"
        return f"the name {self.name!r} is {by}"


class StartFailed(TrionetError):
    """A service did not start: its constructor or its ``setup`` raised, hung or was ended.

    The exception of the service is the ``__cause__``.
    """


class NoSuchClass(TrionetError):
    """There is no such service class: no such module, one that cannot be imported, or no class of a service.

    Args:
        class_name: as ``package.module:Class``.
        problem: what is wrong with it, as a clause.
    """

    def __init__(self, class_name: str, problem: str) -> None:
        super().__init__(class_name, problem)
        self.class_name = class_name
        self.problem = problem

    def __str__(self) -> str:
        return f'"{self.class_name}" cannot be used: {self.problem}'


class NodeStopping(TrionetError):
    """The node is stopping and starts nothing new."""


class ClusterError(TrionetError):
    """The node cannot be, or no longer be, a part of the cluster."""


class HarborTaken(ClusterError):
    """The harbor id belongs to another node, which answered when the master asked it."""


class Superseded(ClusterError):
    """Another node has taken the harbor id, because this one could not be reached."""


class MasterUnreachable(ClusterError):
    """The master did not admit the node within the join timeout."""


class InternalError(TrionetError):
    """A bug of trionet itself; it takes the node down."""


class CallError(TrionetError):
    """Base of the named ways in which a call can fail.

    Args:
        message: what happened, for people.
        executed: whether the handler started: False, True, or None for unknown.
    """

    def __init__(self, message: str, executed: bool | None = None) -> None:
        super().__init__(message)
        self.executed = executed

    def __str__(self) -> str:
        return str(self.args[0])


class NoSuchService(CallError):
    """Nothing lives at that handle, or nobody owns that name."""


class NoSuchCommand(CallError, AttributeError):
    """The service has no command of that name."""


class ServiceExited(CallError):
    """The service ended, or is ending, before it answered."""


class ServiceBusy(CallError):
    """The inbox of the service is full, and the service chose ``overflow="reject"``."""


class ServiceRestarting(CallError):
    """The service behind that name failed and its supervisor is about to start it again."""


class NodeDown(CallError):
    """There is no link to the node of that handle.

    It says nothing about whether that node is alive.  A handle of an earlier incarnation fails so too.
    """


class BadArguments(CallError, TypeError):
    """The arguments do not fit the signature of the command."""


class BadMessage(CallError, ValueError):
    """A message, a result or an error holds something that is no value, or is too large or too deep.

    Args:
        message: what was found, with the path to it, such as ``args[0].items[3]: socket``.
    """


class DeadlineExceeded(CallError, TooSlowError):
    """The time that came with the call was over before the handler was."""


class Deadlock(CallError):
    """The call would have closed a circle of services that all wait on each other.

    Args:
        chain: one entry a service of the circle: what it is and what it waits for.
    """

    def __init__(self, chain: Sequence[str]) -> None:
        super().__init__("services wait on each other: " + " -> ".join(chain), False)
        self.chain: tuple[str, ...] = tuple(chain)


class NoReply(CallError):
    """The handler deferred its reply, and the reply was dropped without an answer."""


class RemoteError(CallError):
    """The handler raised an exception that was not declared to travel as itself.

    Printing it shows both halves: where the caller was, and what happened in the callee.

    Args:
        type_name: the name of the exception's class, with its module.
        text: ``str()`` of the exception.
        traceback_text: the traceback as the callee would have printed it.
    """

    def __init__(self, type_name: str, text: str, traceback_text: str) -> None:
        super().__init__(f"{type_name}: {text}" if text else type_name, True)
        self.type_name = type_name
        self.text = text
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        if not self.traceback_text:
            return str(self.args[0])
        inside = "\n".join(f"  | {line}" for line in self.traceback_text.rstrip().splitlines())
        return f"{self.args[0]}\n  | --- in the service that was called ---\n{inside}"
