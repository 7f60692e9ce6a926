"""The services that stand on every node of a cluster from the start, for the other nodes.

Duty: start them, before anything of the program itself.
May import: the kernel.  They are found by name, as those of a configuration are: the ready services stand on
the public names, which this package is a part of.
"""

from __future__ import annotations

from typing import Final

from trionet.kernel.classes import find_class
from trionet.kernel.node import Node

#: Local name and class of each.
STANDING: Final = {".launcher": "trionet.services.launcher:Launcher"}
#: The same of what stands on a node that records call chains.
TRACING: Final = {".tracer": "trionet.services.tracer:Tracer"}


async def start_standing(node: Node) -> None:
    """Start them, if there can be other nodes.

    Cancellation: what is starting is killed.

    Raises:
        TrionetError: as :meth:`trionet.Node.start`.
    """
    if node.harbor == 0:
        return
    standing = STANDING | (TRACING if node.config.trace.records else {})
    for name, class_name in standing.items():
        await node.start(find_class(class_name), name=name)
