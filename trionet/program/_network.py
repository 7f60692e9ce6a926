"""The network of a program: a harbor whose errors name the key of the configuration that they come from.

Duty: secret and certificates from their files, and what listening at an address may fail with.
May import: the network and the values.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

import attrs

from trionet.cluster_config import ClusterConfig
from trionet.errors import ClusterError, ConfigError
from trionet.net.harbor import Harbor
from trionet.net.transport import Connection, Listener, Sockets, Tls, Transport

_HINTS: Final = {
    errno.EADDRINUSE: "another program listens there",
    errno.EADDRNOTAVAIL: "it is no address of this machine",
    errno.EACCES: "this user may not listen there",
}


def open_harbor(config: ClusterConfig) -> Harbor:
    """Make the harbor of a node.

    Raises:
        ConfigError: if the configuration contradicts itself, or a file that it names cannot be used.
    """
    return Harbor(config, _Explaining(Sockets(_tls_of(config)), config))


def _tls_of(config: ClusterConfig) -> Tls | None:
    paths = {
        "tls_certificate": config.tls_certificate,
        "tls_key": config.tls_key,
        "tls_authority": config.tls_authority,
    }
    certificate, key, authority = paths.values()
    if certificate is None or key is None or authority is None:
        return None
    problems = [
        f"cluster.{name}: {problem}" for name, path in paths.items() if (problem := _unreadable(path))
    ]
    if problems:
        raise ConfigError(problems)
    try:
        return Tls.mutual(certificate, key, authority)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError([f"cluster.tls_certificate: the tls_ files do not fit: {error}"]) from error


def _unreadable(path: str | None) -> str | None:
    try:
        Path(path or "").read_bytes()
    except OSError as error:
        return f'found "{path}", expected a file that can be read: {(error.strerror or str(error)).lower()}'
    return None


@attrs.frozen
class _Explaining:
    """A transport that says which key an address comes from that cannot be listened at."""

    inner: Transport
    config: ClusterConfig

    async def connect(self, address: str) -> Connection:
        """Connect to an address.

        Cancellation, Raises: as the transport inside.
        """
        return await self.inner.connect(address)

    async def listen(self, address: str) -> Listener:
        """Listen at an address.

        Cancellation: as the transport inside.

        Raises:
            ClusterError: if the address is taken, or not of this machine.
        """
        try:
            return await self.inner.listen(address)
        except OSError as error:
            key = "cluster.address" if address == self.config.address else "cluster.standalone"
            raise ClusterError(f"{key}: cannot listen at {address}: {reason_of(error)}") from error


def reason_of(error: OSError) -> str:
    """Why, in words; Trio wraps what several attempts failed with."""
    code = error.errno
    hint = f" ({_HINTS[code]})" if code in _HINTS else ""
    return f"{os.strerror(code).lower()}{hint}" if code else str(error)
