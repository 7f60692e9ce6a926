"""Free ports for tests.

They are taken below the range from which the system chooses the near ends of connections: otherwise a
client that tries to reach nobody there may be given that very port, connect to itself and hold it.
"""

from __future__ import annotations

import os
import random
import socket

_LEAST, _MOST = 20_000, 32_000
_random = random.Random(os.getpid() ^ int.from_bytes(os.urandom(4), "big"))


def free_port() -> int:
    """Find a port of this machine at which nobody listens."""
    while True:
        port = _random.randrange(_LEAST, _MOST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def free_address() -> str:
    """Find an address of this machine at which nobody listens."""
    return f"127.0.0.1:{free_port()}"
