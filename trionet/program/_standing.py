"""The services that stand on every node of a cluster from the start, for the other nodes, and the console.

Duty: start them, before anything of the program itself.
May import: the kernel.  They are found by name, as those of a configuration are: the ready services stand on
the public names, which this package is a part of.
"""

from __future__ import annotations

import logging
from typing import Final

from trionet.console_config import AUTO
from trionet.errors import StartFailed, TrionetError
from trionet.kernel.classes import find_class
from trionet.kernel.node import Node
from trionet.kernel.spec import spec
from trionet.net.console_door import ConsoleDoor
from trionet.program._network import reason_of

#: Local name and class of each, where there can be other nodes.
STANDING: Final = {".launcher": "trionet.services.launcher:Launcher"}
#: The same of what stands on a node that records call chains.
TRACING: Final = {".tracer": "trionet.services.tracer:Tracer"}
CONSOLE: Final = ".console"
_CONSOLE_CLASS: Final = "trionet.services.console:Console"

_log: Final = logging.getLogger("trionet.run")


class NoConsole(TrionetError):
    """The console cannot listen at the address that was chosen for it; the text begins with the key."""


async def start_standing(node: Node, door: ConsoleDoor | None) -> None:
    """Start them.

    Cancellation: what is starting is killed.

    Args:
        node: the node.
        door: where the clients of the console come in, or None for no console.

    Raises:
        NoConsole: if the console cannot listen at the address that was chosen for it.
        TrionetError: as :meth:`trionet.Node.start`.
    """
    if node.harbor != 0:
        standing = STANDING | (TRACING if node.config.trace.records else {})
        for name, class_name in standing.items():
            await node.start(find_class(class_name), name=name)
    if door is not None:
        await _start_console(node, door)


async def _start_console(node: Node, door: ConsoleDoor) -> None:
    """Start the console; one that nobody asked for may be missing."""
    try:
        await node.start(spec(find_class(_CONSOLE_CLASS), door), name=CONSOLE)
    except StartFailed as failure:
        if not isinstance(failure.__cause__, OSError):
            raise
        address = door.config.address
        text = f"console.address: cannot listen at {address}: {reason_of(failure.__cause__)}"
        if address != AUTO:
            raise NoConsole(text) from failure
        _log.warning("%s; this node has no console", text)
