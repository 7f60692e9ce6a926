"""Values as bytes, for whoever keeps them: on disk, in a cache, in a table of their own.

Duty: the codec of the links, with the references of a node, as a part of the public surface.
May import: the codec, the kernel's references and the values.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from trionet.kernel.node import Node
from trionet.kernel.reference import received_reference
from trionet.message import check, snapshot
from trionet.wire.codec import Codec


class ValueCodec:
    """Makes bytes of values and values of bytes, as they travel between nodes.

    For whoever keeps values: the bytes can be read by another node and after a restart.  What holds for
    messages holds here: a declared class is known by its registered name, its fields by theirs, and a handle
    is one of its incarnation.  A codec is used by one thread at a time.

    Args:
        node: its limits of messages hold; references that are read belong to it.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._codec = Codec(node.limits, partial(received_reference, node))

    def encode(self, value: object) -> bytes:
        """Write a value; a reference to a local name becomes one to the handle of its owner.

        Raises:
            BadMessage: if it is no value, is too large or too deep, or nobody owns the local name of a
                reference in it.
        """
        copied, _ = snapshot(value, "value", self._node.limits, self._node.resolve_reference)
        return self._codec.encode(copied)

    def decode(self, data: bytes) -> Any:
        """Read a value; the validators of declared classes run.

        Raises:
            BadMessage: if it is not exactly one value within the limits, a class in it is not declared here,
                or a validator refuses a field.
        """
        value, checks = self._codec.decode(data)
        check(checks)
        return value
