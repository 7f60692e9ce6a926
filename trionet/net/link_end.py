"""One end of a link, as all parts of a peer know it.

Duty: what they share: the two nodes, the link, the codec.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trionet.cluster_config import ClusterConfig
from trionet.handle import LOCAL_BITS, Handle
from trionet.net.pump import Pump
from trionet.wire.agreement import Agreement
from trionet.wire.codec import Codec
from trionet.wire.link import Link

if TYPE_CHECKING:
    from trionet.kernel.node import Node
    from trionet.net.peer_streams import PeerStreams


class LinkEnd:
    """One end of a link.

    Attributes:
        harbor: the harbor id of the other node.
        incarnation: its incarnation.
        is_open: whether both ends said open, and the link has not ended.
        link: the machine of the link.
        streams: the streams on it.
    """

    link: Link
    streams: PeerStreams
    _pump: Pump

    def __init__(
        self,
        node: Node,
        config: ClusterConfig,
        agreement: Agreement,
        make_reference: Callable[[Handle | str, str | None], object],
    ) -> None:
        self.node = node
        self.harbor: int = agreement.peer.harbor
        self.incarnation: int = agreement.peer.incarnation
        self.cancel_grace: float = config.cancel_grace
        self.codec: Codec = Codec(node.limits, make_reference)
        self.is_open: bool = False

    def describe(self) -> str:
        """Who is at the other end, for error texts and logs."""
        return f"harbor {self.harbor}"

    def local_handle(self, local: int) -> Handle:
        """The handle of a service of this node, of 24 bits; that of 0, which is no service, too."""
        return Handle(self.node.harbor << LOCAL_BITS | local, self.node.incarnation)

    def kick(self) -> None:
        """Have written what is queued."""
        self._pump.kick()
