"""Handles: the identity of a service, and the textual forms of addresses.

Duty: the value type :class:`Handle`, the rules for names, nothing that needs a running node.
May import: the standard library and attrs.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

LOCAL_BITS: Final = 24
#: Largest local id; id 0 is never given to a service.
MAX_LOCAL: Final = (1 << LOCAL_BITS) - 1
#: Largest harbor id; harbor id 0 means "this node, no cluster".
MAX_HARBOR: Final = 255
#: Longest name, in bytes of UTF-8, without the leading dot of a local name.
MAX_NAME: Final = 255

_HANDLE_TEXT: Final = re.compile(r":[0-9a-fA-F]{1,8}")
_NAME_TEXT: Final = re.compile(r"\.?[^\s:.@\x00-\x1f][^\s:@\x00-\x1f]*")


@attrs.frozen(repr=False, order=True)
class Handle:
    """The identity of a service: harbor id, local id and the incarnation of its node.

    Two handles are equal only when all three agree, so a handle of an earlier incarnation of a node
    never equals one of a later incarnation.

    Args:
        value: 32 bits: the high 8 are the harbor id, the low 24 the local id.
        incarnation: the random 64-bit id that the node of the service drew at its start.
    """

    value: int
    incarnation: int

    @classmethod
    def make(cls, harbor: int, local: int, incarnation: int) -> Handle:
        """Build a handle from its parts.

        Raises:
            ValueError: if a part is out of its range.
        """
        if not 0 <= harbor <= MAX_HARBOR:
            raise ValueError(f"harbor id {harbor} is not in 0..{MAX_HARBOR}")
        if not 1 <= local <= MAX_LOCAL:
            raise ValueError(f"local id {local} is not in 1..{MAX_LOCAL}")
        return cls(harbor << LOCAL_BITS | local, incarnation)

    @property
    def harbor(self) -> int:
        """The harbor id of the node that the service lives on."""
        return self.value >> LOCAL_BITS

    @property
    def local(self) -> int:
        """The id of the service within its node."""
        return self.value & MAX_LOCAL

    def __str__(self) -> str:
        return f":{self.value:08x}"

    def __repr__(self) -> str:
        return f"<Handle {self} of {self.incarnation:016x}>"


def parse_handle(text: str) -> int:
    """Read the 32-bit value of a handle from its text form, such as ``:01000007``.

    Raises:
        ValueError: if the text is no handle.
    """
    if _HANDLE_TEXT.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no handle: expected a colon and one to eight hex digits")
    return int(text[1:], 16)


def check_name(name: str) -> str:
    """Return ``name`` if it can be registered: ``.local`` on its node, ``global`` in the cluster.

    Raises:
        TypeError: if it is no text.
        ValueError: if it is empty, too long, or holds white space, a colon or an at sign.
    """
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name: expected text, '.name' or 'name'")
    if _NAME_TEXT.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is no name: expected '.name' (this node) or 'name' (the whole cluster), "
            "without white space, ':' or '@'"
        )
    if len(name.encode()) > MAX_NAME:
        raise ValueError(f"name {name[:20]!r}... is longer than {MAX_NAME} bytes")
    return name


def is_local_name(name: str) -> bool:
    """Tell whether a name is known on its own node only."""
    return name.startswith(".")
