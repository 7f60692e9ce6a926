"""What cannot be true of several nodes at once.

Duty: the checks of a ``cluster.toml`` that look at more than one node.
May import: this package's results.
"""

from __future__ import annotations

from collections.abc import Iterator

from trionet.configfile._settings import PlannedNode

_PORT_0 = ":0"


def clashes(nodes: list[PlannedNode]) -> Iterator[str]:
    """Every problem between nodes, as a line."""
    for node in nodes:
        if node.settings.script is None and not node.settings.services:
            yield f"{node.origin}: nodes.{node.name}: found nothing to run, expected a script or services"
    masters = [node for node in nodes if node.is_master]
    for node in masters[1:]:
        where = _where(node, "standalone")
        yield f"{where}: found a second master beside that of {masters[0].name}, expected one"
    yield from _taken(nodes)


def _taken(nodes: list[PlannedNode]) -> Iterator[str]:
    """Harbor ids and addresses that two nodes have."""
    owners: dict[object, PlannedNode] = {}
    for node in nodes:
        own: set[object] = set()
        for key, value in _wanted(node):
            if value in ("auto", "none", None) or (isinstance(value, str) and value.endswith(_PORT_0)):
                continue
            owner = owners.setdefault(value, node)
            if owner is not node:
                yield f'{_where(node, key)}: found {_shown(value)}, which node "{owner.name}" has'
            elif value in own:
                yield f"{_where(node, key)}: found {_shown(value)}, which is its address too"
            own.add(value)


def _wanted(node: PlannedNode) -> Iterator[tuple[str, object]]:
    """What a node wants to have for itself, by key."""
    cluster = node.settings.cluster
    if cluster is not None:
        yield "harbor", cluster.harbor
        yield "address", cluster.address
        yield "standalone", cluster.standalone
    yield "console.address", node.settings.console.address
    yield "metrics.address", node.settings.metrics.address


def _where(node: PlannedNode, key: str) -> str:
    full = key if "." in key else f"cluster.{key}"
    source = node.settings.sources.get(full, node.origin)
    return f"{source}: nodes.{node.name}.{key}"


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
