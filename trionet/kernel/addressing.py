"""From addresses to services: handles, names and the text of both (C12).

Duty: find the receiver of a message, or say why there is none.
"""

from __future__ import annotations

from difflib import get_close_matches

from trionet.config import NodeConfig
from trionet.errors import NodeDown, NoSuchService, ServiceRestarting
from trionet.handle import LOCAL_BITS, MAX_LOCAL, Handle, is_local_name, parse_handle
from trionet.kernel.actor import Actor
from trionet.kernel.names import NameTable
from trionet.kernel.network import Network
from trionet.kernel.seams import Seams
from trionet.kernel.single_node import SingleNode


class Addressing:
    """What a node needs to find services.

    Attributes:
        actors: the services of this node by local id.
    """

    def __init__(self, config: NodeConfig, seams: Seams, network: Network | None) -> None:
        self.config = config
        self.seams = seams
        self.network: Network = SingleNode() if network is None else network
        self.incarnation: int = seams.random.getrandbits(64)
        self.actors: dict[int, Actor] = {}
        self.local_names: NameTable[Actor] = NameTable()

    def locate(self, target: Handle | str) -> Actor | Handle:
        """Find the service that an address stands for: here, or by its handle elsewhere.

        Raises:
            NoSuchService: if nobody owns the name, or nothing lives at the handle.
            ServiceRestarting: if the owner of the name is about to be started again.
            NodeDown: for a handle of an earlier incarnation, or of a harbor without a link.
            ValueError: if the text is neither a name nor a handle.
        """
        if isinstance(target, Handle):
            if target.incarnation == self.incarnation:
                return self.actors.get(target.value & MAX_LOCAL) or self._nothing_at(target)
            if target.value >> LOCAL_BITS == self.network.harbor:
                also = "" if self.network.harbor else ", or of another node without a cluster"
                text = f"{target} is of an earlier incarnation of this node{also}"
                raise NodeDown(text, executed=False)
            return target
        if target.startswith(":"):
            return self.locate(self.parse_handle(target))
        if is_local_name(target):
            return self.local_names.owner(target) or self._nobody_named(target)
        handle = self.network.lookup(target)
        return self._nobody_named(target) if handle is None else self.locate(handle)

    def parse_handle(self, text: str) -> Handle:
        """Read the text of a handle; it means the present incarnation of its node.

        Raises:
            ValueError: if the text is no handle.
            NodeDown: if there is no link to its node.
        """
        value = parse_handle(text)
        harbor = value >> LOCAL_BITS
        if harbor == self.network.harbor:
            return Handle(value, self.incarnation)
        return Handle(value, self.network.incarnation(harbor))

    def _nothing_at(self, handle: Handle) -> Actor:
        raise NoSuchService(f"no service at {handle}: it has ended, or never was", executed=False)

    def _nobody_named(self, name: str) -> Actor:
        if self.local_names.is_restarting(name):
            raise ServiceRestarting(f"the service named {name!r} is about to be restarted", executed=False)
        known = list(self.local_names.names() if is_local_name(name) else self.network.global_names())
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise NoSuchService(f"nobody owns the name {name!r}{hint}", executed=False)
