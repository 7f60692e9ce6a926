"""What is allowed, but hardly meant: unsafe, or at odds with other settings.

Duty: the list for ``trionet check``, and for the log at the start of a node.
May import: the values and this package's results.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final, Literal

import attrs

from trionet.cluster_config import ClusterConfig, is_private, split_address, unix_path
from trionet.configfile._settings import Settings

#: A node that finds out that it stalled needs time to read its sockets before others give it up.
_LEAST_STALLS: Final = 2
_LEAST_HEARTBEATS: Final = 2
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@attrs.frozen
class Advice:
    """One thing that deserves a look.

    Args:
        level: "warning", or "info" for what is fine in development.
        key: the key that it is about.
        text: what was found and what would be better.
        origin: where the key stands, or empty if it has its default.
    """

    level: Literal["warning", "info"]
    key: str
    text: str
    origin: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.origin, self.key, self.text) if part)


def advise(settings: Settings) -> list[Advice]:
    """All advice on the settings of one node."""
    if settings.cluster is None:
        return []
    found = [*_times(settings, settings.cluster), *_secret(settings.cluster), *_master(settings.cluster)]
    return [attrs.evolve(each, origin=settings.sources.get(each.key, "")) for each in found]


def _times(settings: Settings, cluster: ClusterConfig) -> Iterator[Advice]:
    stall = settings.node.stall_threshold
    if cluster.heartbeat_timeout < _LEAST_STALLS * stall:
        yield Advice(
            "warning",
            "cluster.heartbeat_timeout",
            f"found {cluster.heartbeat_timeout:g} s, better at least {_LEAST_STALLS * stall:g}, twice "
            "node.stall_threshold: a node that stalls so long is taken for dead",
        )
    if cluster.heartbeat_timeout < _LEAST_HEARTBEATS * cluster.heartbeat:
        yield Advice(
            "warning",
            "cluster.heartbeat_timeout",
            f"found {cluster.heartbeat_timeout:g} s, better at least "
            f"{_LEAST_HEARTBEATS * cluster.heartbeat:g}, twice cluster.heartbeat: one that is late ends it",
        )
    if cluster.join_timeout < cluster.handshake_timeout:
        yield Advice(
            "warning",
            "cluster.join_timeout",
            f"found {cluster.join_timeout:g} s, better at least cluster.handshake_timeout, which is "
            f"{cluster.handshake_timeout:g}",
        )


def _secret(cluster: ClusterConfig) -> Iterator[Advice]:
    for key in ("secret_file", "tls_key"):
        path = getattr(cluster, key)
        mode = None if path is None else _mode(path)
        if mode is not None and mode & _OTHERS:
            yield Advice(
                "warning",
                f"cluster.{key}",
                f"found {path} with mode {stat.S_IMODE(mode):04o}, better 0600: others can read or change it",
            )
    if cluster.secret_file is None and not cluster.uses_tls:
        yield Advice(
            "info",
            "cluster.secret_file",
            "found none: any program of this machine can join the cluster; make a secret with trionet keygen",
        )


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except OSError:
        return None


def _master(cluster: ClusterConfig) -> Iterator[Advice]:
    if cluster.standalone is not None and cluster.harbor == "auto":
        yield Advice(
            "warning",
            "cluster.harbor",
            'found "auto" on the node with the master, better a fixed id, the same after a restart',
        )
    if cluster.standalone and cluster.master and _port(cluster.standalone) != _port(cluster.master):
        yield Advice(
            "warning",
            "cluster.master",
            f"found {cluster.master} beside the own master at {cluster.standalone}: the node joins "
            "the former, the latter is idle",
        )
    master = cluster.master_address
    if master is not None and is_private(cluster.address) and not is_private(master):
        yield Advice(
            "warning",
            "cluster.address",
            f"found {cluster.address} with the master at {master}: nodes of other machines cannot "
            "dial this one",
        )


def _port(address: str) -> object:
    return address if unix_path(address) is not None else split_address(address)[1]
