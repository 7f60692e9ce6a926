"""The session and the picture on the console's page are what the console says and shows.

With ``TRIONET_WRITE_DOCS=1`` in the environment they are written anew.
"""

from __future__ import annotations

import html
import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from tests.console_client import Client
from tests.console_demo import demo, play
from trionet.cli.console_show import show, show_error
from trionet.cli.top_view import picture

HOWTO = Path(__file__).parents[1] / "docs" / "howto"
PAGE, PICTURE = HOWTO / "console.md", HOWTO / "top.svg"
PROMPT = "world> "
WRITE = "TRIONET_WRITE_DOCS" in os.environ
WIDTH = 100

_SESSION = re.compile(r"(<!-- session -->\n```console\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("virtual_time")


def sessions() -> list[str]:
    return [match[2] for match in _SESSION.finditer(PAGE.read_text(encoding="utf-8"))]


async def said(client: Client, line: str) -> str:
    """What a person sees of the answer to a line."""
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False)
    await client.send({"line": line})
    reply = await client.reply()
    if reply["reply"] == "error":
        show_error(console, reply)
    else:
        show(console, portable(reply["data"]))
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{each.rstrip()}\n" for each in console.file.getvalue().splitlines())


def portable(data: Any) -> Any:
    """The data without what depends on this machine, on chance, or on where the demonstration stands."""
    if isinstance(data, list):
        return [portable(each) for each in data]
    if not isinstance(data, dict):
        return data
    changed = {
        key: each.replace("tests.console_demo", "game.rooms") if isinstance(each, str) else each
        for key, each in data.items()
    }
    if "stack" in data:
        changed["stack"] = [re.sub(r'".*", line \d+', '"game/rooms.py", line 42', data["stack"][0])]
        changed["seconds"] = round(data["seconds"], 1)
    if "silent" in data:
        changed["silent"] = round(data["silent"], 1)
    if "round_trip" in data:
        changed["round_trip"] = 0.002
    return changed


async def test_the_sessions_are_what_the_console_says(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = sessions()
    assert len(wanted) == 2
    found = []
    async with demo(monkeypatch) as (_, client):
        for session in wanted:
            lines = [line for line in session.splitlines() if line.startswith(PROMPT)]
            found.append(
                "".join([f"{line}\n{await said(client, line.removeprefix(PROMPT))}" for line in lines])
            )
    if WRITE:
        write_sessions(found)
    assert found == sessions()


def write_sessions(found: list[str]) -> None:
    new = iter(found)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_SESSION.sub(lambda match: match[1] + next(new) + match[3], text), encoding="utf-8")


async def test_the_picture_is_what_top_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    async with demo(monkeypatch) as (cluster, client):
        await play(cluster)
        await trio.sleep(2)
        await client.send({"line": "load 1 50"})
        await client.reply()
        await client.reply()
        report = (await client.reply())["data"]
        await client.send({"stop": True})
        while (await client.reply())["reply"] == "item":
            pass
    for each in report:
        for link in each["links"]:  # bytes depend on details of the protocol
            link.update(
                bytes_sent=96 * link["sent"],
                bytes_received=80 * link["arrived"],
                silent=0.0,
                round_trip=0.002,
            )
    console = Console(
        file=io.StringIO(), width=84, record=True, force_terminal=True, color_system="truecolor"
    )
    console.print(picture(report, "3 of 3 nodes, seen from world", 8))
    svg = console.export_svg(title="trionet top", unique_id="trionet-top")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no fonts from elsewhere
    if WRITE:
        PICTURE.write_text(svg, encoding="utf-8")
    assert words_of(svg) == words_of(PICTURE.read_text(encoding="utf-8"))


def words_of(svg: str) -> list[str]:
    """The text of a picture, whatever release of the drawing library made it; a figure is a ``#``."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    words = [word for text in texts for word in html.unescape(text).split()]
    return [re.sub(r"\d[\d.,]*", "#", word) for word in words]
