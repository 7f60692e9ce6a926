"""One run through all sources of settings.

Duty: each source becomes a tree whose leaves know where they stand; the trees are laid over each other,
later ones winning; then every value is checked, and all problems are told at once.
May import: the values and this package's other modules.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from trionet.cluster_config import ClusterConfig
from trionet.config import LogConfig, NodeConfig, TraceConfig
from trionet.configfile._check import as_table, build
from trionet.configfile._files import ENV_FILE, INCLUDE, Environment, Files
from trionet.configfile._nodes import Entry, find_standalone, read_entry
from trionet.configfile._sections import SECTIONS, UpConfig, section_rules
from trionet.configfile._services import build_services
from trionet.configfile._settings import Override, Settings
from trionet.configfile._text import parse_key, parse_value
from trionet.configfile._tree import (
    Leaf,
    Loose,
    Origin,
    Problems,
    Table,
    assign,
    found,
    leaves,
    merge,
    plain,
)
from trionet.console_config import ConsoleConfig
from trionet.errors import did_you_mean
from trionet.metrics_config import MetricsConfig

T = TypeVar("T")

PREFIX: Final = "TRIONET_"
_CONFIG: Final = "TRIONET_CONFIG"
_ENV_FILES: Final = "TRIONET_ENV_FILE"
_APP: Final = "TRIONET_APP_"
#: Variables that are no settings: pipes of whoever started the process (:mod:`trionet.program`).
_PIPES: Final = ("TRIONET_READY_FD", "TRIONET_LIFELINE_FD")
_NODES: Final = "nodes"
_ROOT_KEYS: Final = (*SECTIONS, "services", "app")


class Loading:
    """Settings on their way in.

    Args:
        variables: the environment variables of the process.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.problems = Problems()
        self.environment = Environment(variables)
        self.files = Files(self.environment, self.problems)
        self.named: list[Path] = []
        self.tree = Table(Origin("defaults"))
        self.entry: Entry | None = None
        self._is_whole = True
        self._process = variables

    def read_environment_files(self, paths: list[Path]) -> None:
        """Add variables; what is added first stays, so the last file comes first."""
        for path in reversed(paths):
            self.environment.read_file(path, Origin("--env-file"), self.problems)
        for path in reversed(self._paths_in(_ENV_FILES)):
            self.environment.read_file(path, Origin(_ENV_FILES), self.problems)

    def read_files(self, paths: list[Path]) -> None:
        """Lay the configuration files over each other."""
        named_at = Origin("--config")
        if not paths:
            paths, named_at = self._paths_in(_CONFIG), Origin(_CONFIG)
        self.named = paths
        for path in paths:
            self.tree = merge(self.tree, self.files.load(path, named_at))

    def _paths_in(self, variable: str) -> list[Path]:
        text = self.environment.get(variable) or ""
        return [Path(each) for each in text.split(os.pathsep) if each]

    # --- the nodes of a cluster.toml -----------------------------------------------------------------

    @property
    def nodes(self) -> Table | Leaf | None:
        """What stands under ``nodes``."""
        return self.tree.entries.get(_NODES)

    def leave_nodes(self) -> None:
        """Refuse nodes, where none was chosen."""
        nodes = self.tree.entries.pop(_NODES, None)
        self._is_whole = nodes is None
        if isinstance(nodes, Table):
            expected = "expected the choice of one by --node NAME, or trionet up for all"
            self.problems.add(nodes.origin, _NODES, f"found the nodes of a cluster, {expected}")
        elif nodes is not None:
            self.problems.add(nodes.origin, _NODES, f"found {found(nodes)}, expected tables [nodes.NAME]")

    def choose_node(self, name: str, origin: Origin) -> None:
        """Lay what one node has of its own over what all have."""
        nodes = self.tree.entries.pop(_NODES, None)
        known = nodes.entries if isinstance(nodes, Table) else {}
        if name not in known:
            hint = did_you_mean(name, known)
            self.problems.add(origin, "", f'found "{name}", expected a node that is in [nodes]{hint}')
            self._is_whole = False
            return
        self.entry = entry = read_entry(name, known[name], self.problems)
        if entry is None:
            self._is_whole = False
            return
        for variable, value in entry.env.items():
            self.environment.put(variable, value, entry.origin)
        for path in entry.config:
            self.tree = merge(self.tree, self.files.load(Path(path), entry.origin))
        self.files.services.extend(entry.services)
        self.tree = merge(assign(self.tree, ("node", "name"), name, entry.origin), entry.layer)
        assert isinstance(nodes, Table)
        self._find_master(find_standalone(nodes))

    def _find_master(self, standalone: Leaf | None) -> None:
        """Let a node without a word on the master find the one of the file."""
        table = self.tree.entries.get("cluster")
        known = table.entries if isinstance(table, Table) else {}
        if standalone is not None and "master" not in known and "standalone" not in known:
            self.tree = assign(self.tree, ("cluster", "master"), standalone.value, standalone.origin)

    # --- variables and the command line --------------------------------------------------------------

    def take_variables(self) -> None:
        """Lay the ``TRIONET_*`` variables over the files."""
        known = {
            f"{PREFIX}{section}_{key}".upper(): (section, key)
            for section in SECTIONS
            for key in section_rules(section)
        }
        for name, text, origin in self.environment.items():
            path = known.get(name)
            if path is not None:
                self.tree = assign(self.tree, path, Loose(text), origin)
            elif name.startswith(_APP):
                keys = tuple(name.removeprefix(_APP).lower().split("__"))
                self.tree = assign(self.tree, ("app", *keys), parse_value(text), origin)
            elif name.startswith(PREFIX) and name not in (_CONFIG, _ENV_FILES, *_PIPES):
                hint = did_you_mean(name, [*known, _CONFIG, _ENV_FILES])
                self.problems.add(origin, "", f"found the variable {name}, which is none of trionet's{hint}")

    def take_overrides(self, overrides: Iterable[Override], *, of_nodes: bool) -> None:
        """Lay settings of the command line over all else.

        Args:
            overrides: all of them.
            of_nodes: whether to take those of single nodes, ``nodes.world.harbor=2``, or the others.
        """
        for each in overrides:
            if each.key.startswith(f"{_NODES}.") is of_nodes:
                self._take_override(each)

    def _take_override(self, override: Override) -> None:
        origin = Origin(override.option)
        path = parse_key(override.key) if override.key else None
        if path is None:
            wrong = f"{override.key}={override.text}" if override.key else override.text
            self.problems.add(origin, "", f'found "{wrong}", expected key=value')
            return
        if path[0] in (INCLUDE, ENV_FILE):
            self.problems.add(origin, path[0], "found outside of a file, expected in a configuration file")
            return
        value = Loose(override.text) if path[0] in SECTIONS else parse_value(override.text)
        self.tree = assign(self.tree, path, value, origin)

    # --- the result ----------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """Check everything and return the settings.

        Raises:
            ConfigError: if there was any problem, here or before.
        """
        for key, node in self.tree.entries.items():
            if key not in _ROOT_KEYS:
                hint = did_you_mean(key, [*_ROOT_KEYS, _NODES, INCLUDE, ENV_FILE])
                self.problems.add(node.origin, key, "unknown key" + hint)
        app = self._app()
        trace = self._section("trace", TraceConfig) or TraceConfig()
        node_config = self._section("node", lambda **values: NodeConfig(app=app, trace=trace, **values))
        log = self._section("log", LogConfig)
        up = self._section("up", UpConfig)
        cluster = self._cluster()
        console = self._console(cluster)
        metrics = self._metrics()
        services = build_services(self._service_tables(), self.problems)
        self.problems.raise_if_any()
        assert node_config is not None
        assert log is not None
        assert up is not None
        assert console is not None
        return Settings(
            node=node_config,
            log=log,
            cluster=cluster,
            console=console,
            metrics=metrics,
            services=services,
            script=None if self.entry is None else self.entry.script,
            args=() if self.entry is None else self.entry.args,
            files=tuple(self.named),
            variables={k: v for k, v, _ in self.environment.items() if self._process.get(k) != v},
            sources={path: str(origin) for path, origin in leaves(self.tree)},
            up=up,
        )

    def _section(self, section: str, make: Callable[..., T]) -> T | None:
        return build(make, section_rules(section), self.tree.entries.get(section), section, self.problems)

    def _cluster(self) -> ClusterConfig | None:
        """The part in a cluster, if the settings say anything of one."""
        node = self.tree.entries.get("cluster")
        cluster = None if node is None else self._section("cluster", ClusterConfig)
        if cluster is None or not isinstance(node, Table) or not self._is_whole:
            return None
        self._note_all("cluster", node, cluster.problems())
        return cluster

    def _console(self, cluster: ClusterConfig | None) -> ConsoleConfig | None:
        console = self._section("console", ConsoleConfig)
        node = self.tree.entries.get("console")
        if console is not None and isinstance(node, Table) and self._is_whole:
            self._note_all("console", node, console.problems(cluster))
        return console

    def _metrics(self) -> MetricsConfig:
        metrics = self._section("metrics", MetricsConfig) or MetricsConfig()
        node = self.tree.entries.get("metrics")
        if isinstance(node, Table) and self._is_whole:
            self._note_all("metrics", node, metrics.problems())
        return metrics

    def _note_all(self, section: str, node: Table, problems: list[str]) -> None:
        """Note the problems of a section, each where its key stands."""
        for problem in problems:
            key, _, text = problem.partition(": ")
            leaf = node.entries.get(key, node)
            self.problems.add(leaf.origin, f"{section}.{key}", text)

    def _app(self) -> dict[str, Any]:
        node = self.tree.entries.get("app", Table(self.tree.origin))
        value = plain(node)
        if isinstance(value, dict):
            return value
        self.problems.add(node.origin, "app", f"found {found(node)}, expected a table")
        return {}

    def _service_tables(self) -> list[Table]:
        """The entries of all files, or those of the command line in their place."""
        node = self.tree.entries.get("services")
        if node is None:
            return self.files.services
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            return [as_table(each, node.origin) for each in value]
        self.problems.add(node.origin, "services", f"found {found(node)}, expected an array of tables")
        return []
