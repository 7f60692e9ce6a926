"""Where the consoles of this machine are: one Unix socket a node, in a folder that only its user can enter.

Duty: names of sockets, the folder that they are in, which of them are alive.

A socket is named ``NAME-PID.sock``, by the name of its node and the id of its process, so that two nodes
never want the same one; ``NAME-PID-2.sock`` is that of a second node of that name in the same process.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

#: Sockets that are looked at, at most.
MOST_SOCKETS: Final = 1_000
#: Nodes of one name in one process.
MOST_OF_A_NAME: Final = 100
#: Bytes that the path of a Unix socket may have.
LONGEST_PATH: Final = 100
_SOCKET: Final = re.compile(r"(?P<node>[\w.-]+?)-(?P<pid>\d+)(-\d+)?\.sock")


@attrs.frozen
class ConsolePlace:
    """The console of a node of this machine.

    Args:
        node: the name of the node.
        pid: the id of its process.
        path: the socket.
    """

    node: str
    pid: int
    path: Path

    @property
    def address(self) -> str:
        """Its address."""
        return f"unix:{self.path}"


def runtime_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the consoles of this user; it need not be there."""
    given = environ.get("XDG_RUNTIME_DIR", "")
    if given:
        return Path(given) / "trionet"
    return Path(tempfile.gettempdir()) / f"trionet-{os.getuid()}"


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, if it is not there.

    Raises:
        OSError: if it cannot be made, or is not this user's alone.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is no folder of this user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{folder} has mode {stat.S_IMODE(found.st_mode):04o}, expected 0700")


def free_place(node: str, folder: Path) -> Path:
    """A path for the console of a node of this process.

    Raises:
        OSError: if the path of the folder is too long for a socket, or all are taken.
    """
    for number in range(1, MOST_OF_A_NAME):
        suffix = "" if number == 1 else f"-{number}"
        path = folder / f"{node}-{os.getpid()}{suffix}.sock"
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise OSError(f"{path} is longer than {LONGEST_PATH} bytes, the path of a Unix socket")
        if not path.exists():
            return path
    raise OSError(f"{folder} has {MOST_OF_A_NAME - 1} sockets of {node} already")


def places(folder: Path) -> list[ConsolePlace]:
    """The consoles that answer, sorted by node."""
    return [place for place in _found(folder) if _answers(place.path)]


def sweep(folder: Path) -> None:
    """Remove the sockets of processes that have died."""
    for place in _found(folder):
        if not _lives(place.pid) and not _answers(place.path):
            place.path.unlink(missing_ok=True)


def _found(folder: Path) -> Iterator[ConsolePlace]:
    try:
        names = sorted(os.listdir(folder))[:MOST_SOCKETS]
    except OSError:
        return
    for name in names:
        match = _SOCKET.fullmatch(name)
        if match is not None:
            yield ConsolePlace(match["node"], int(match["pid"]), folder / name)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
