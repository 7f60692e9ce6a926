"""The service of the console, and what it makes of a line."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final

from trionet import ConsoleDoor, Service
from trionet.services.console.asking import Ask, Entry, Say
from trionet.services.console.doing import DOING
from trionet.services.console.following import FOLLOWING
from trionet.services.console.looking import LOOKING
from trionet.services.console.values import BadLine, to_json

_LINE: Final = re.compile(r"\s*(@(?P<harbor>\S+)\s+)?(?P<word>\S+)(?:\s+(?P<rest>.*))?", re.DOTALL)
#: Characters of a wrong word that an error tells.
_MOST_SHOWN: Final = 40


async def _help(ask: Ask) -> Any:
    words = ask.words("help [COMMAND]", 0, 1)
    chosen = {words[0]: _entry(words[0])} if words else COMMANDS
    return [{"command": each.usage, "help": each.help} for each in chosen.values()]


COMMANDS: Final[dict[str, Entry]] = {
    "help": Entry("help [COMMAND]", "the commands; @2 before one asks node 2", _help),
    **LOOKING,
    **DOING,
    **FOLLOWING,
}


def _entry(word: str) -> Entry:
    entry = COMMANDS.get(word)
    if entry is None:
        shown = word[:_MOST_SHOWN]
        near = get_close_matches(shown, COMMANDS, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "help lists them"
        raise BadLine(f"found {shown!r}, which is no command; {hint}")
    return entry


class Console(Service):
    """Answers lines of text about its node, and about all others of its cluster.

    ``trionet run`` starts it as ``.console``, unless ``console.address`` is ``"none"``.  A program that opens
    its node itself does so with
    ``await node.start(spec(Console, ConsoleDoor(ConsoleConfig())), name=".console")``.

    Args:
        door: where its clients come in.
    """

    def __init__(self, door: ConsoleDoor) -> None:
        self._door = door
        self.address: str = ""

    async def setup(self) -> None:
        """Open the door.

        Cancellation: it is closed.
        """
        self.address = await self.nursery.start(self._door.run, self.node, self.answer)
        self.log.debug("the console is at %s", self.address)

    def debug_info(self) -> object:
        """Where it listens."""
        return {"address": self.address}

    async def answer(self, line: str, say: Say) -> Any:
        """Answer a line.

        Cancellation: ends what it asks for, as far as that can be ended.

        Args:
            line: ``[@NODE] COMMAND ...``.
            say: takes results that come one by one.

        Returns:
            The result, as JSON knows it.

        Raises:
            BadLine: if it says nothing that the console knows.
            Exception: what the command raised.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadLine("found an empty line; help lists the commands")
        harbor = None if match["harbor"] is None else self._harbor(match["harbor"])
        entry = _entry(match["word"])
        return to_json(await entry.run(Ask(self.node, harbor, (match["rest"] or "").strip(), say)))

    def _harbor(self, text: str) -> int:
        if not text.isascii() or not text.isdecimal() or len(text) > 3:
            raise BadLine(f"found @{text[:_MOST_SHOWN]}, expected @ and the harbor id of a node, as in @2")
        return int(text)
