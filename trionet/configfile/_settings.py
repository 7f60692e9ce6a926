"""What loading a configuration gives.

Duty: the classes of the results; nothing here reads anything.
May import: the values and this package's other modules of results.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from trionet.cluster_config import ClusterConfig
from trionet.config import LogConfig, NodeConfig
from trionet.configfile._sections import UpConfig
from trionet.configfile._services import ServiceConfig
from trionet.console_config import ConsoleConfig
from trionet.kernel.supervise import Restart
from trionet.metrics_config import MetricsConfig


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that a configuration says of one node.

    Args:
        node: the settings of the node; ``node.app`` is the user's own table.
        log: how to log.
        cluster: the node's part in a cluster; None if the configuration says nothing of one.
        console: the node's debug console.
        metrics: where the node serves its figures.
        services: what is started with the node, in this order.
        script: the script, where the configuration names it: the one of ``[nodes.NAME]``.
        args: the arguments of that script.
        files: the configuration files that were named, not those that they include.
        variables: the environment variables that the configuration adds to those of the process.
        sources: where each setting that is no default stands, by dotted key.
        up: the settings of ``trionet up``.
    """

    node: NodeConfig = attrs.field(factory=NodeConfig)
    log: LogConfig = attrs.field(factory=LogConfig)
    cluster: ClusterConfig | None = None
    console: ConsoleConfig = attrs.field(factory=ConsoleConfig)
    metrics: MetricsConfig = attrs.field(factory=MetricsConfig)
    services: tuple[ServiceConfig, ...] = ()
    script: Path | None = None
    args: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    variables: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    sources: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    up: UpConfig = attrs.field(factory=UpConfig)

    @property
    def app(self) -> Mapping[str, Any]:
        """The user's own settings, the table ``[app]``, deeply read-only."""
        return self.node.app


@attrs.frozen(kw_only=True)
class PlannedNode:
    """One node of a ``cluster.toml``: one ``[nodes.NAME]``.

    Args:
        name: its name in the file.
        settings: everything that it runs with.
        restart: when its process is started again.
        env: its own environment variables.
        origin: the file and the line where it stands.
    """

    name: str
    settings: Settings
    restart: Restart
    env: Mapping[str, str] = attrs.field(factory=dict, hash=False, repr=False)
    origin: str = attrs.field(default="", eq=False)

    @property
    def is_master(self) -> bool:
        """Whether the master runs on this node."""
        cluster = self.settings.cluster
        return cluster is not None and cluster.standalone is not None


@attrs.frozen
class Override:
    """A setting from the command line.

    Args:
        key: the dotted key, such as ``node.stop_grace``.
        text: its value, as text.
        option: the option that it was given with, for messages.
    """

    key: str
    text: str
    option: str = "--set"

    @classmethod
    def parse(cls, text: str) -> Override:
        """Read ``key=value``; what has no ``=`` is refused when the settings are loaded."""
        key, equals, value = text.partition("=")
        return cls(key.strip(), value) if equals and key.strip() else cls("", text)
