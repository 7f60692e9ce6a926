"""Errors on the wire: a code for each named error, and what else the caller is told of it.

Duty: turn the error of a call into code, ``executed`` and payload, and back.
"""

from __future__ import annotations

from typing import Any, Final

from trionet import errors
from trionet.errors import BadMessage, CallError, Deadlock, RemoteError
from trionet.message import value_class
from trionet.wire.codec import Codec
from trionet.wire.texts import shortened

#: A declared exception, which travels as itself.
DECLARED: Final = 1
#: Any other exception of a handler.
REMOTE: Final = 2
_DEADLOCK: Final = 3

#: The meaning of a code never changes.
_SIMPLE: Final[dict[int, type[CallError]]] = {
    0: errors.CallError,
    4: errors.NoSuchService,
    5: errors.NoSuchCommand,
    6: errors.ServiceExited,
    7: errors.ServiceBusy,
    8: errors.ServiceRestarting,
    9: errors.NodeDown,
    10: errors.BadArguments,
    11: errors.BadMessage,
    12: errors.DeadlineExceeded,
    13: errors.NoReply,
}
_CODES: Final = {cls: code for code, cls in _SIMPLE.items()}
#: Bytes of a text that an error carries, at most; with three of them it still fits into any message.
MAX_TEXT: Final = 20 * 1024


def encode_failure(error: Exception, codec: Codec) -> tuple[int, bool | None, bytes]:
    """Return code, ``executed`` and payload of an error."""
    if isinstance(error, RemoteError):
        parts = [cut(error.type_name), cut(error.text), cut(error.traceback_text, from_end=True)]
        return REMOTE, error.executed, codec.encode(parts)
    if value_class(type(error)) is not None:
        try:
            return DECLARED, True, codec.encode(error)
        except BadMessage as refused:
            return encode_failure(RemoteError(type(error).__qualname__, str(error), str(refused)), codec)
    if isinstance(error, Deadlock):
        return _DEADLOCK, error.executed, codec.encode(cut("\n".join(error.chain)).split("\n"))
    executed = error.executed if isinstance(error, CallError) else None
    return _CODES.get(type(error), 0), executed, codec.encode(cut(str(error)))  # type: ignore[arg-type]


def decode_failure(
    code: int, executed: bool | None, payload: bytes, codec: Codec
) -> tuple[Exception, list[Any]]:
    """Return the error that the caller raises, and what is to be validated first.

    Raises:
        BadMessage: if the payload is not what belongs to the code.
    """
    content, checks = codec.decode(payload)
    if code == DECLARED and isinstance(content, Exception):
        return content, checks
    if code == REMOTE and _texts(content, 3):
        error = RemoteError(*content)
        error.executed = executed
        return error, []
    if code == _DEADLOCK and _texts(content, None):
        return Deadlock(content), []
    if isinstance(content, str):
        return _SIMPLE.get(code, CallError)(content, executed), []
    raise BadMessage(f"an error of code {code} with an unexpected content")


def _texts(content: Any, count: int | None) -> bool:
    if not isinstance(content, list) or (count is not None and len(content) != count):
        return False
    return all(isinstance(each, str) for each in content)


def cut(text: str, *, from_end: bool = False) -> str:
    """As much of a text as an error may carry."""
    return shortened(text, MAX_TEXT, from_end=from_end)
