"""The file of the datacenter: an SQLite database with a row for each value.

Duty: what is read and written there, and every way in which that can fail.  Runs on worker threads, one
call at a time.
May import: sqlite3, trionet and the datacenter's tree and values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import attrs

from trionet import BadMessage, Handle
from trionet.services.datacenter_nodes import Branch, Leaf, Node
from trionet.services.datacenter_tree import Row, Tree
from trionet.services.datacenter_values import BadPath, NotABranch, StorageFailed, split_prefix

T = TypeVar("T")
Sync = Literal["full", "normal", "off"]
SYNCS: Final = ("full", "normal", "off")
#: Tells that a file is one of ours: "trdc".
APPLICATION: Final = 0x74726463
#: The format that is written and read.
FORMAT: Final = 1

_SCHEMA: Final = """
CREATE TABLE nodes (path TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB, owner BLOB) WITHOUT ROWID
"""
_PUT: Final = "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?)"
#: "0" comes right after "/", so this is all that is below a path.
_CLEAR: Final = "DELETE FROM nodes WHERE path = ? OR (path > ? || '/' AND path < ? || '0')"


class DiskFull(StorageFailed):
    """There is no room for a write, which was undone; there may be room for a later one."""


@attrs.frozen
class Statement:
    """One row to be written.

    Args:
        sql: what to do.
        values: the values in it.
    """

    sql: str
    values: tuple[Any, ...]


def statement_of(row: Row, encode: Callable[[Any], bytes]) -> Statement:
    """What has to be done for a row.

    Args:
        row: the row.
        encode: makes bytes of values.
    """
    if row.clears:
        return Statement(_CLEAR, (row.path,) * 3)
    if isinstance(row.node, Leaf):
        owner = None if row.node.owner is None else encode(row.node.owner)
        return Statement(_PUT, (row.path, row.version, encode(row.node.value), owner))
    return Statement(_PUT, (row.path, row.version, None, None))


class Store:
    """An open database.

    Args:
        path: the file, which is made if there is none.
        sync: ``"full"`` waits for the disk at each commit, ``"normal"`` leaves the order to the disk, so that
            a loss of power may cost the last commits, ``"off"`` may cost the whole file.

    Raises:
        StorageFailed: if it cannot be opened, is in use, damaged, newer, or no file of a datacenter.
    """

    def __init__(self, path: str, sync: Sync = "full") -> None:
        self._path = path
        with self._translating():
            self._database = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=16
            )
        try:
            with self._translating():
                self._prepare(sync)
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, sync: Sync) -> None:
        ask = self._ask
        ask("PRAGMA locking_mode=EXCLUSIVE")
        self._check_is_ours(ask("PRAGMA application_id"), ask("PRAGMA user_version"))
        ask("PRAGMA journal_mode=WAL")
        execute = self._database.execute
        execute(f"PRAGMA synchronous={sync}")
        execute("BEGIN EXCLUSIVE")
        if ask("PRAGMA user_version") == 0:
            execute(f"PRAGMA application_id={APPLICATION}")
            execute(f"PRAGMA user_version={FORMAT}")
            execute(_SCHEMA)
        execute("COMMIT")

    def _ask(self, sql: str) -> Any:
        return self._database.execute(sql).fetchone()[0]

    def _check_is_ours(self, application: int, version: int) -> None:
        if application == APPLICATION and version > FORMAT:
            text = f"its format is {version}, and this version of trionet knows {FORMAT} at most"
            raise StorageFailed(f"{self._path}: {text}")
        is_empty = not (application or version or self._ask("SELECT count(*) FROM sqlite_schema"))
        if application != APPLICATION and not is_empty:
            raise StorageFailed(f"{self._path}: it is a database of another program")

    def load(self, decode: Callable[[bytes], Any]) -> Tree:
        """Read all of it.

        Args:
            decode: makes values of bytes.

        Raises:
            StorageFailed: if it is damaged, or holds a value that cannot be read here.
        """
        tree = Tree()
        with self._translating():
            damage = self._ask("PRAGMA quick_check(1)")
            if damage != "ok":
                raise StorageFailed(f"{self._path}: the file is damaged: {damage}")
            for path, *columns in self._database.execute("SELECT * FROM nodes ORDER BY path"):
                try:
                    tree.restore(split_prefix(path), _node(decode, *columns))
                except (BadMessage, BadPath, NotABranch, TypeError) as error:
                    text = f"the value at {path!r:.80} cannot be read: {error}"
                    raise StorageFailed(f"{self._path}: {text}") from error
        return tree

    def commit(self, statements: Sequence[Statement]) -> None:
        """Do all of it or nothing, and return when it is safe.

        Raises:
            DiskFull: if there is no room.
            StorageFailed: if it failed otherwise.
        """
        with self._translating():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for each in statements:
                    self._database.execute(each.sql, each.values)
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    with suppress(sqlite3.Error):
                        self._database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let go of the file.

        Raises:
            StorageFailed: if it failed; what was committed is safe.
        """
        with self._translating():
            self._database.close()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Say in the words of trionet what failed."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_FULL:
                raise DiskFull(f"{self._path}: the disk is full ({error})") from error
            raise StorageFailed(f"{self._path}: {self._reason(code, error)}") from error

    def _reason(self, code: int, error: sqlite3.Error) -> str:
        if code == sqlite3.SQLITE_BUSY:
            return "it is in use by another datacenter, of this process or another"
        if code == sqlite3.SQLITE_NOTADB:
            return "it is no database"
        if code == sqlite3.SQLITE_CORRUPT:
            return f"the file is damaged: {error}"
        if code == sqlite3.SQLITE_CANTOPEN and not Path(self._path).absolute().parent.is_dir():
            return "there is no such folder"
        return str(error)


def _node(decode: Callable[[bytes], Any], version: object, value: object, owner: object) -> Node:
    """The node of a row.

    Raises:
        TypeError: if the row is none that is written here.
        BadMessage: if a value cannot be read.
    """
    if not isinstance(version, int) or version < 0:
        raise TypeError(f"found {version!r:.40} for a version")
    if value is None:
        return Branch(version)
    held = None if owner is None else decode(_bytes(owner))
    if not (held is None or isinstance(held, Handle)):
        raise TypeError(f"found {held!r:.40} for an owner")
    return Leaf(decode(_bytes(value)), version, held)


def _bytes(item: object) -> bytes:
    if not isinstance(item, bytes):
        raise TypeError(f"found {type(item).__name__}, expected bytes")
    return item
