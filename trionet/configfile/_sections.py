"""The sections of a configuration whose keys are known, such as ``[node]`` and ``[cluster]``.

Duty: which class of settings a section makes, and the rules of its keys.
May import: the values and this package's checks.
"""

from __future__ import annotations

from typing import Final

import attrs
from attrs import field

from trionet.cluster_config import ClusterConfig
from trionet.config import LogConfig, NodeConfig, Rule, TraceConfig, seconds
from trionet.configfile._check import rules_of
from trionet.console_config import ConsoleConfig
from trionet.metrics_config import MetricsConfig


@attrs.frozen(kw_only=True)
class UpConfig:
    """The settings of ``trionet up`` itself.

    Args:
        kill_after: seconds that a node may take to stop beyond its ``stop_grace``, before it is killed.
    """

    kill_after: float = field(default=10.0, validator=seconds(zero=True))


SECTIONS: Final[dict[str, type]] = {
    "node": NodeConfig,
    "trace": TraceConfig,
    "metrics": MetricsConfig,
    "log": LogConfig,
    "cluster": ClusterConfig,
    "console": ConsoleConfig,
    "up": UpConfig,
}


def section_rules(section: str) -> dict[str, Rule]:
    """The rules of the keys of a section, by key."""
    rules = rules_of(SECTIONS[section])
    rules.pop("app", None)
    return rules
