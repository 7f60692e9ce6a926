"""Configuration: every number of trionet, with its name, unit and default.

Duty: frozen settings and the rules each value must keep.  Where they come from (files, environment,
command line) is another module's duty.
May import: the standard library, attrs and the other values.
"""

from __future__ import annotations

import attrs
from attrs import field, validators

from trionet.message import Limits

_positive = validators.gt(0)
_whole = [validators.instance_of(int), validators.ge(1)]


@attrs.frozen(kw_only=True)
class NodeConfig:
    """The settings of one node.

    Args:
        name: the node's name in logs.
        call_deadline: seconds after which a call fails whose caller has no deadline of its own.
        start_deadline: seconds that the ``setup`` of a service may take.
        stop_grace: seconds that running handlers and ``teardown`` may take when a service stops.
        stall_threshold: seconds that a handler may hold the event loop before it is reported.
        inbox: messages that an inbox holds before senders wait.
        concurrency: handlers of one service that may run at a time.
        message_size: weight of a message, in bytes, that is refused beyond.
        message_depth: containers that may be nested in a message.
        dead_letter_log_rate: dead letters that are logged, a second; the others are only counted.
    """

    name: str = "node"
    call_deadline: float = field(default=60.0, validator=_positive)
    start_deadline: float = field(default=60.0, validator=_positive)
    stop_grace: float = field(default=10.0, validator=validators.ge(0))
    stall_threshold: float = field(default=1.0, validator=_positive)
    inbox: int = field(default=10_000, validator=_whole)
    concurrency: int = field(default=1_000, validator=_whole)
    message_size: int = field(default=16 * 1024 * 1024, validator=_whole)
    message_depth: int = field(default=64, validator=_whole)
    dead_letter_log_rate: int = field(default=10, validator=_whole)

    @property
    def limits(self) -> Limits:
        """How large a message may be."""
        return Limits(self.message_size, self.message_depth)
