"""The picture of a cluster: nodes, links, and the services that handle most messages.

Duty: from one report of the console's ``load`` to tables; nothing here asks or waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trionet.cli.console_show import cleaned

#: Lines of the picture that are no services: titles, nodes' and links' headings.
_FRAME: Final = 8
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
#: Share of the processor from which a node or a service stands out.
_BUSY: Final = 0.7


def picture(report: Sequence[dict[str, Any]], title: str, most: int) -> RenderableType:
    """The whole picture.

    Args:
        report: one entry a node, as the console's ``load`` says it.
        title: what stands above it.
        most: services that are shown.
    """
    alive = [each for each in report if "node" in each]
    parts: list[RenderableType] = [Text(cleaned(title), style="bold"), Text(""), _nodes(report)]
    links = [(each["harbor"], link) for each in alive for link in each["links"]]
    if links:
        parts += [Text(""), _links(links)]
    parts += [Text(""), _services(alive, most)]
    return Group(*parts)


def room_for_services(height: int, report: Sequence[dict[str, Any]]) -> int:
    """How many services fit on a terminal besides the nodes and the links."""
    links = sum(len(each.get("links", ())) for each in report)
    return max(3, height - _FRAME - len(report) - links)


def _nodes(report: Sequence[dict[str, Any]]) -> Table:
    table = _table(
        "node", "name", ">services", ">msg/s", ">cpu", ">inbox", ">running", ">dead letters", ">stalls"
    )
    for each in report:
        if "node" not in each:
            table.add_row(str(each["harbor"]), Text(cleaned(str(each.get("problem"))), style="red"))
            continue
        node = each["node"]
        table.add_row(
            str(each["harbor"]),
            Text(cleaned(node["name"])),
            str(node["services"]),
            _rate(each["rate"]),
            _share(each["cpu"]),
            str(node["inbox"]),
            str(node["running"]),
            str(node["dead_letters"]),
            str(node["stalls"]),
        )
    return table


def _links(links: Iterable[tuple[int, dict[str, Any]]]) -> Table:
    table = _table("link", ">sent", ">arrived", ">calls", ">waiting", ">out", ">in", ">silent", ">trip")
    for harbor, link in links:
        table.add_row(
            f"{harbor} to {link['harbor']}",
            str(link["sent"]),
            str(link["arrived"]),
            str(link["calls"]),
            str(link["waiting"]),
            size(link["bytes_sent"]),
            size(link["bytes_received"]),
            f"{link['silent']:.1f} s",
            _milliseconds(link["round_trip"]),
        )
    return table


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


def _services(alive: Iterable[dict[str, Any]], most: int) -> Table:
    table = _table("service", "name", ">msg/s", ">cpu", ">inbox", ">messages")
    found = [service for each in alive for service in each["busiest"]]
    found.sort(key=lambda each: (-each["rate"], -each["cpu"], -each["inbox"], each["handle"]))
    for service in found[:most]:
        table.add_row(
            Text(cleaned(service["handle"])),
            Text(cleaned(service["label"])),
            _rate(service["rate"]),
            _share(service["cpu"]),
            str(service["inbox"]),
            str(service["messages"]),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    for each in columns:
        table.add_column(each.lstrip(">"), justify="right" if each.startswith(">") else "left", no_wrap=True)
    return table


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _share(share: float) -> Text:
    return Text(f"{100 * share:.1f} %", style="bold red" if share >= _BUSY else "")


def size(count: float) -> str:
    """A number of bytes, for people."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
