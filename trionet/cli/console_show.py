"""What a console answered, for people or for programs.

Duty: from the data of a reply to text, by its shape alone: a new command needs nothing here.

Whatever is in it, no control character of it reaches the terminal.
"""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def cleaned(text: str) -> str:
    """The text with everything that does not print, but line ends, as escapes."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def show(console: Console, data: Any) -> None:
    """Print a result: rows as a table, an object as a line for each key, all else as it is."""
    if isinstance(data, list) and data and all(isinstance(each, dict) for each in data):
        if any(isinstance(each, list | dict) for row in data for each in row.values()):
            for number, row in enumerate(data):
                if number:
                    console.print()
                _show_object(console, row)
        else:
            console.print(_table(data))
    elif isinstance(data, dict):
        _show_object(console, data)
    elif isinstance(data, list):
        for each in data:
            console.print(_cell(each), soft_wrap=True)
        if not data:
            console.print(Text("none", style="dim"))
    elif data is None:
        console.print(Text("ok", style="green"))
    else:
        console.print(_cell(data), soft_wrap=True)


def show_json(console: Console, data: Any) -> None:
    """Print a result as one line of JSON."""
    console.out(json.dumps(data), highlight=False)


def show_error(console: Console, reply: dict[str, Any]) -> None:
    """Print why there is no result."""
    console.print(
        Text.assemble((f"{cleaned(str(reply.get('kind')))}: ", "bold red"), cleaned(str(reply.get("text")))),
        soft_wrap=True,
    )
    for note in reply.get("notes", ()):
        console.print(Text(cleaned(str(note)).rstrip(), style="dim"), soft_wrap=True)


def _table(rows: list[dict[str, Any]]) -> Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in keys:
        numbers = all(isinstance(row.get(key), int | float) for row in rows)
        table.add_column(Text(cleaned(key)), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(key, "")) for key in keys))
    return table


def _show_object(console: Console, content: dict[str, Any]) -> None:
    width = max((len(key) for key in content), default=0)
    for key, each in content.items():
        label = Text(f"{cleaned(key):<{width}}  ", style="bold")
        texts = isinstance(each, list) and each and all(isinstance(line, str) for line in each)
        lines = each if texts else [each]
        console.print(label + _cell(lines[0]), soft_wrap=True)
        for line in lines[1:]:
            console.print(Text(" " * (width + 2)) + _cell(line), soft_wrap=True)


def _cell(value: Any) -> Text:
    if isinstance(value, str):
        return Text(cleaned(value))
    if value is None:
        return Text("none", style="dim")
    return Text(cleaned(json.dumps(value, ensure_ascii=False)))
