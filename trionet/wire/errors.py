"""The one error of all wire formats.

Duty: :class:`ProtocolError`.
May import: the standard library.
"""

from __future__ import annotations


class ProtocolError(ValueError):
    """The other end sent what the protocol does not allow; the text says what.

    Nothing that it sent may be used; the link that carried it is closed, and nothing else suffers.
    """
