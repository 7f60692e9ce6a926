"""Settings from files, the environment and the command line.

Duty: :func:`load_settings` and what it returns.  Each source becomes a tree whose leaves know where they
stand; the trees are laid over each other, later ones winning; then every value is checked, and all
problems are told at once.

The order, weakest first: defaults, configuration files (an included file before the one that includes
it), ``TRIONET_*`` variables, the command line.

May import: the values and the kernel's restart policy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from trionet.config import LogConfig, NodeConfig, Rule
from trionet.configfile._check import as_table, build, rules_of
from trionet.configfile._files import ENV_FILE, INCLUDE, Environment, Files
from trionet.configfile._services import RESTART_RULES, SERVICE_RULES, ServiceConfig, build_services
from trionet.configfile._text import parse_key, parse_value
from trionet.configfile._tree import (
    Leaf,
    Loose,
    Origin,
    Problems,
    Table,
    assign,
    did_you_mean,
    found,
    leaves,
    merge,
    plain,
)

__all__ = [
    "RESTART_RULES",
    "SERVICE_RULES",
    "Override",
    "ServiceConfig",
    "Settings",
    "did_you_mean",
    "load_settings",
    "section_rules",
]

T = TypeVar("T")

PREFIX: Final = "TRIONET_"
_CONFIG: Final = "TRIONET_CONFIG"
_ENV_FILES: Final = "TRIONET_ENV_FILE"
_APP: Final = "TRIONET_APP_"
_SECTIONS: Final[dict[str, type]] = {"node": NodeConfig, "log": LogConfig}
_ROOT_KEYS: Final = (*_SECTIONS, "services", "app")


def section_rules(section: str) -> dict[str, Rule]:
    """The rules of the keys of ``[node]`` or ``[log]``, by key."""
    rules = rules_of(_SECTIONS[section])
    rules.pop("app", None)
    return rules


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that a configuration says.

    Args:
        node: the settings of the node; ``node.app`` is the user's own table.
        log: how to log.
        services: what is started with the node, in this order.
        files: the configuration files that were named, not those that they include.
        variables: the environment variables that env files add to those of the process.
        sources: where each setting that is no default stands, by dotted key.
    """

    node: NodeConfig = attrs.field(factory=NodeConfig)
    log: LogConfig = attrs.field(factory=LogConfig)
    services: tuple[ServiceConfig, ...] = ()
    files: tuple[Path, ...] = ()
    variables: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)
    sources: Mapping[str, str] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def app(self) -> Mapping[str, Any]:
        """The user's own settings: the table ``[app]``, deeply read-only."""
        return self.node.app


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


def load_settings(
    files: Iterable[str | os.PathLike[str]] = (),
    *,
    environ: Mapping[str, str] | None = None,
    env_files: Iterable[str | os.PathLike[str]] = (),
    overrides: Iterable[Override | str] = (),
) -> Settings:
    """Read settings from everywhere, the later source winning.

    Args:
        files: configuration files in TOML, later ones winning; if there are none, those that the variable
            ``TRIONET_CONFIG`` names.
        environ: the environment variables; by default those of the process.
        env_files: files of ``KEY=VALUE`` lines with more variables; those of ``environ`` win.
        overrides: settings from the command line; a str is ``key=value``.

    Raises:
        ConfigError: if anything is wrong: every problem is listed, not only the first.
    """
    process = os.environ if environ is None else environ
    loading = _Loading(process)
    loading.read_environment_files([Path(each) for each in env_files])
    loading.read_files([Path(each) for each in files])
    loading.take_variables()
    for each in overrides:
        loading.take_override(Override.parse(each) if isinstance(each, str) else each)
    return loading.settings(process)


class _Loading:
    """One run through all sources."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.problems = Problems()
        self.environment = Environment(variables)
        self.files = Files(self.environment, self.problems)
        self.named: list[Path] = []
        self.tree = Table(Origin("defaults"))

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

    def take_variables(self) -> None:
        """Lay the ``TRIONET_*`` variables over the files."""
        known = {
            f"{PREFIX}{section}_{key}".upper(): (section, key)
            for section in _SECTIONS
            for key in section_rules(section)
        }
        for name, text, origin in self.environment.items():
            path = known.get(name)
            if path is not None:
                self.tree = assign(self.tree, path, Loose(text), origin)
            elif name.startswith(_APP):
                keys = tuple(name.removeprefix(_APP).lower().split("__"))
                self.tree = assign(self.tree, ("app", *keys), parse_value(text), origin)
            elif name.startswith(PREFIX) and name not in (_CONFIG, _ENV_FILES):
                hint = did_you_mean(name, [*known, _CONFIG, _ENV_FILES])
                self.problems.add(origin, "", f"found the variable {name}, which is none of trionet's{hint}")

    def take_override(self, override: Override) -> None:
        """Lay one setting of the command line over all else."""
        origin = Origin(override.option)
        path = parse_key(override.key) if override.key else None
        if path is None:
            wrong = f"{override.key}={override.text}" if override.key else override.text
            self.problems.add(origin, "", f'found "{wrong}", expected key=value')
            return
        if path[0] in (INCLUDE, ENV_FILE):
            self.problems.add(origin, path[0], "found outside of a file, expected in a configuration file")
            return
        typed = path[0] in _SECTIONS
        value = Loose(override.text) if typed else parse_value(override.text)
        self.tree = assign(self.tree, path, value, origin)

    def settings(self, process: Mapping[str, str]) -> Settings:
        """Check everything and return the settings.

        Raises:
            ConfigError: if there was any problem, here or before.
        """
        for key, node in self.tree.entries.items():
            if key not in _ROOT_KEYS:
                hint = did_you_mean(key, [*_ROOT_KEYS, INCLUDE, ENV_FILE])
                self.problems.add(node.origin, key, "unknown key" + hint)
        app = self._app()
        node_config = self._section("node", lambda **values: NodeConfig(app=app, **values))
        log = self._section("log", LogConfig)
        services = build_services(self._service_tables(), self.problems)
        self.problems.raise_if_any()
        assert node_config is not None
        assert log is not None
        return Settings(
            node=node_config,
            log=log,
            services=services,
            files=tuple(self.named),
            variables={k: v for k, v, _ in self.environment.items() if k not in process},
            sources={path: str(origin) for path, origin in leaves(self.tree)},
        )

    def _section(self, section: str, make: Callable[..., T]) -> T | None:
        return build(make, section_rules(section), self.tree.entries.get(section), section, self.problems)

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
