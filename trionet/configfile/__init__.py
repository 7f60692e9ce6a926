"""Settings from files, the environment and the command line.

Duty: :func:`load_settings` for one node, :func:`load_nodes` for all nodes of a ``cluster.toml``, and what
they return.

The order, weakest first: defaults, configuration files (an included file before the one that includes
it), what a ``[nodes.NAME]`` has of its own, ``TRIONET_*`` variables, the command line.

May import: the values and the kernel's restart policy.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from trionet.configfile._advice import Advice, advise
from trionet.configfile._loading import Loading
from trionet.configfile._nodes import NODE_RESTART, NODE_RULES, Entry
from trionet.configfile._sections import UpConfig, section_rules
from trionet.configfile._services import RESTART_RULES, SERVICE_RULES, ServiceConfig
from trionet.configfile._settings import Override, PlannedNode, Settings
from trionet.configfile._together import clashes
from trionet.configfile._tree import Origin, Table
from trionet.errors import ConfigError

__all__ = [
    "NODE_RESTART",
    "NODE_RULES",
    "RESTART_RULES",
    "SERVICE_RULES",
    "Advice",
    "Override",
    "PlannedNode",
    "ServiceConfig",
    "Settings",
    "UpConfig",
    "advise",
    "has_nodes",
    "load_nodes",
    "load_settings",
    "section_rules",
]

Paths = Iterable[str | os.PathLike[str]]


def load_settings(
    files: Paths = (),
    *,
    environ: Mapping[str, str] | None = None,
    env_files: Paths = (),
    overrides: Iterable[Override | str] = (),
    node: str | None = None,
) -> Settings:
    """Read settings from everywhere, the later source winning.

    Args:
        files: configuration files in TOML, later ones winning; if there are none, those that the variable
            ``TRIONET_CONFIG`` names.
        environ: the environment variables; by default those of the process.
        env_files: files of ``KEY=VALUE`` lines with more variables; those of ``environ`` win.
        overrides: settings from the command line; a str is ``key=value``.
        node: the name of the node whose settings these are, where the files have several ``[nodes.NAME]``.

    Raises:
        ConfigError: if anything is wrong: every problem is listed, not only the first.
    """
    return _load(files, environ, env_files, overrides, node)[0]


def load_nodes(
    files: Paths,
    *,
    environ: Mapping[str, str] | None = None,
    env_files: Paths = (),
    overrides: Iterable[Override | str] = (),
) -> tuple[PlannedNode, ...]:
    """Read the settings of all nodes of a ``cluster.toml``, in its order.

    Args: as :func:`load_settings`.

    Raises:
        ConfigError: if anything is wrong with one of them or between them, or there is none: every problem
            is listed, not only the first.
    """
    overrides = list(overrides)
    names: list[str | None] = [*_names(files, environ, env_files, overrides)]
    planned: list[PlannedNode] = []
    problems: list[str] = []
    for name in names or [None]:
        try:
            settings, entry = _load(files, environ, env_files, overrides, name)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            if entry is not None:
                planned.append(_plan(settings, entry))
    if not names and not problems:
        problems.append(
            f"{', '.join(map(str, files))}: nodes: found none, expected at least one [nodes.NAME]"
        )
    if not problems:
        problems.extend(clashes(planned))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return tuple(planned)


def has_nodes(files: Paths) -> bool:
    """Tell whether configuration files have ``[nodes.NAME]``; what is wrong with them is not told here."""
    return bool(_names(files, None, (), []))


def _names(
    files: Paths,
    environ: Mapping[str, str] | None,
    env_files: Paths,
    overrides: list[Override | str],
) -> list[str]:
    loading = _read(files, environ, env_files)
    loading.take_overrides(_parsed(overrides), of_nodes=True)
    return list(loading.nodes.entries) if isinstance(loading.nodes, Table) else []


def _load(
    files: Paths,
    environ: Mapping[str, str] | None,
    env_files: Paths,
    overrides: Iterable[Override | str],
    node: str | None,
) -> tuple[Settings, Entry | None]:
    given = _parsed(overrides)
    loading = _read(files, environ, env_files)
    loading.take_overrides(given, of_nodes=True)
    if node is None:
        loading.leave_nodes()
    else:
        loading.choose_node(node, Origin("--node"))
    loading.take_variables()
    loading.take_overrides(given, of_nodes=False)
    return loading.settings(), loading.entry


def _parsed(overrides: Iterable[Override | str]) -> list[Override]:
    return [Override.parse(each) if isinstance(each, str) else each for each in overrides]


def _read(files: Paths, environ: Mapping[str, str] | None, env_files: Paths) -> Loading:
    loading = Loading(os.environ if environ is None else environ)
    loading.read_environment_files([Path(each) for each in env_files])
    loading.read_files([Path(each) for each in files])
    return loading


def _plan(settings: Settings, entry: Entry) -> PlannedNode:
    return PlannedNode(
        name=entry.name,
        settings=settings,
        restart=entry.restart,
        env=dict(entry.env),
        origin=str(entry.origin),
    )
