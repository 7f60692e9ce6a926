"""Why a link does not take a message from its own side.

Duty: errors of the near end.  What the far end did wrong is a ProtocolError.
May import: the standard library.
"""

from __future__ import annotations


class LinkError(Exception):
    """Base of the reasons; the message was not taken and was certainly not sent."""


class WindowFull(LinkError):
    """The window of the receiving service has no room: wait for its ``CreditAvailable``."""


class MessageTooLarge(LinkError):
    """The payload is larger than the peer takes, whenever it is sent."""


class LinkBusy(LinkError):
    """As many calls or watches are open on the link as the peer allows."""


class LinkNotOpen(LinkError):
    """The link is not open yet, or not any more."""
