"""The process that started this one, if it wants to know of it: ``trionet up`` does.

Duty: two pipes whose descriptors come by the environment.  Into the one this process says how far it is; the
other tells by its end that the parent has gone, however it ended.
May import: the standard library.

``TRIONET_READY_FD``
    One JSON object a line: ``{"event": "open", "harbor": 1, "address": "127.0.0.1:2526"}`` when the node is
    open and has joined its cluster (harbor 0 and no address without one), ``{"event": "ready"}`` when
    ``main`` begins.

``TRIONET_LIFELINE_FD``
    Nothing is ever read from it but its end; then this process stops as at a SIGTERM, and is killed if that
    takes too long.  A thread waits for it, so that it is noticed also while a script is loaded, and while
    code holds the event loop.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading  # noqa: TID251 - it must be noticed while the event loop stands still
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final, Self

READY_FD: Final = "TRIONET_READY_FD"
LIFELINE_FD: Final = "TRIONET_LIFELINE_FD"
#: Seconds that a process may take to stop before it is killed, where nothing else is known.
PATIENCE: Final = 30.0

_log: Final = logging.getLogger("trionet.run")


class Parent:
    """The parent of this process; by default one that wants to know nothing.

    Args:
        ready: descriptor for reports.
        lifeline: descriptor whose end means that the parent has gone.

    Attributes:
        patience: seconds that this process may take to stop once the parent has gone.
    """

    def __init__(self, ready: int | None = None, lifeline: int | None = None) -> None:
        self.patience = PATIENCE
        self._ready = ready
        self._lifeline = lifeline

    @classmethod
    def adopt(cls, environ: MutableMapping[str, str] = os.environ) -> Self:
        """Take the descriptors out of the environment, so that children of this process have neither."""
        return cls(_take(environ, READY_FD), _take(environ, LIFELINE_FD))

    def tell(self, event: str, **details: object) -> None:
        """Report how far this process is; nobody needs to listen."""
        if self._ready is None:
            return
        line = json.dumps({"event": event, **details}) + "\n"
        try:
            os.write(self._ready, line.encode())
        except OSError:
            self._ready = None

    def watch(self) -> None:
        """Stop this process when the parent has gone."""
        if self._lifeline is not None:
            threading.Thread(
                target=self._wait, args=(self._lifeline,), name="trionet lifeline", daemon=True
            ).start()
            self._lifeline = None

    def _wait(self, lifeline: int) -> None:
        with suppress(OSError):
            while os.read(lifeline, 1):
                pass
        _log.warning("the process that started this one has gone")
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(min(self.patience, threading.TIMEOUT_MAX))
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _take(environ: MutableMapping[str, str], name: str) -> int | None:
    """Take a descriptor; None if there is none that is open."""
    text = environ.pop(name, "")
    try:
        descriptor = int(text)
        os.set_inheritable(descriptor, False)
    except (ValueError, OSError, OverflowError):
        return None
    return descriptor
