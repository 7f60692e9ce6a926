"""What the datacenter and its users say to each other: paths, entries, changes and errors.

Duty: the values, and the rules for paths.
May import: trionet.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from trionet import DeadlineExceeded, Handle, TrionetError, value

#: The global name of the datacenter.
DATACENTER: Final = "datacenter"
#: Keys that a path may have, those in a dict that is set included.
MOST_KEYS: Final = 32
#: Bytes of UTF-8 that a key may have.
LONGEST_KEY: Final = 255
SEPARATOR: Final = "/"
Keys = tuple[str, ...]


@value(name="trionet.BadPath")
class BadPath(TrionetError, ValueError):
    """A path, or a key of a dict that was to be set, is malformed; nothing was changed."""


@value(name="trionet.NotABranch")
class NotABranch(TrionetError):
    """A path leads through a value that is no dict; nothing was changed."""


@value(name="trionet.StorageFailed")
class StorageFailed(TrionetError):
    """The file of the datacenter cannot be used, or a write could not be stored and was undone."""


@value(name="trionet.DatacenterBusy")
class DatacenterBusy(TrionetError):
    """There are as many who wait, or as many who watch, as the datacenter allows."""


@value(name="trionet.WatchOverflow")
class WatchOverflow(TrionetError):
    """Who watches did not take changes as fast as they came; those that waited are dropped."""


class DatacenterAway(DeadlineExceeded):
    """There was no datacenter to be reached for as long as the call could wait."""


@value(name="trionet.Entry")
@attrs.frozen
class Entry:
    """What is at a path.

    Args:
        value: the value; a dict for a branch.
        version: of the last write to it, or to anything below it; larger than all before.
        owner: the service with which it vanishes, if any; None for a branch.
    """

    value: Any
    version: int
    owner: Handle | None = None


@value(name="trionet.Change")
@attrs.frozen
class Change:
    """One value that was set or deleted.

    Args:
        path: where.
        version: of the write; all changes of one write have the same.
        value: what was set; None if it was deleted.
        deleted: whether it was deleted.
        owner: the service with which it vanishes, if any.
    """

    path: str
    version: int
    value: Any = None
    deleted: bool = False
    owner: Handle | None = None


def split_path(path: object) -> Keys:
    """Split a path into its keys.

    Raises:
        BadPath: if it is empty or malformed.
    """
    if path == "":
        raise BadPath("the path is empty; expected keys with slashes between them, as in 'rooms/lobby/size'")
    return split_prefix(path)


def split_prefix(path: object) -> Keys:
    """Split a path that may be empty, which is the whole tree.

    Raises:
        BadPath: if it is malformed.
    """
    if not isinstance(path, str):
        raise BadPath(f"the path is {type(path).__name__}, expected a text as in 'rooms/lobby/size'")
    if not path:
        return ()
    keys = tuple(path.split(SEPARATOR))
    for key in keys:
        check_key(key, path)
    check_depth(len(keys), path)
    return keys


def check_key(key: object, where: str) -> str:
    """Return a key of the tree.

    Raises:
        BadPath: if it is none.
    """
    if not isinstance(key, str):
        text = f"{where:.80}: {key!r:.40} is no key of the tree; the keys of a dict that is set are texts"
        raise BadPath(text)
    if not key or SEPARATOR in key or "\0" in key:
        raise BadPath(f"{where!r:.80}: {key!r:.40} is no key; expected a text that is not empty, without '/'")
    if len(key.encode()) > LONGEST_KEY:
        raise BadPath(f"{where!r:.80}: a key of more than {LONGEST_KEY} bytes")
    return key


def check_depth(depth: int, where: str) -> None:
    """Refuse what would be too deep.

    Raises:
        BadPath: if it would.
    """
    if depth > MOST_KEYS:
        raise BadPath(f"{where!r:.80}: more than {MOST_KEYS} keys deep")


def join_keys(keys: Keys) -> str:
    """The path of keys."""
    return SEPARATOR.join(keys)
