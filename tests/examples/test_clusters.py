"""The examples of several nodes: ``trionet up`` runs each to its end, with real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_address

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Seconds after which an example counts as hung, on a machine that is busy with other things.
HUNG = 100

pytestmark = pytest.mark.timeout(HUNG + 20)


def up(example: str, *assignments: str) -> dict[str, list[str]]:
    """Run an example to its end; returns the lines of each node."""
    words = [sys.executable, "-P", "-m", "trionet", "up", str(EXAMPLES / example / "cluster.toml")]
    process = subprocess.Popen(
        [*words, *(f"--set={each}" for each in assignments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={key: each for key, each in os.environ.items() if not key.startswith("TRIONET_")},
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=HUNG)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
        pytest.fail(f"it did not end:\n{output}")
    assert 0 == process.returncode, output
    assert "Traceback" not in output, output
    lines: dict[str, list[str]] = {}
    for line in output.splitlines():
        node, bar, text = line.partition("| ")
        assert bar, output
        lines.setdefault(node.strip(), []).append(text)
    return lines


def test_world() -> None:
    lines = up("world", "app.seconds=3", f"nodes.world.standalone={free_address()}")
    told = [re.sub("rooms: room., room.", "rooms: both", line) for line in lines["world"]]
    assert ["open", "open"] == [line.split()[2].strip(";") for line in told[:2]]
    assert ["room2 is gone (node down); rooms: room1", "room2 is open; rooms: both"] == told[2:4]
    assert any(line.startswith("room2 was killed by SIGKILL; starting it again") for line in lines["up"])

    director = [line for line in lines["login"] if line.startswith("***")]
    assert "*** the director kills room2 ***" == director[0]
    assert re.fullmatch(r"\*\*\* that call ended after \d+ ms: NodeDown, .* \*\*\*", director[1])
    assert "*** room2 is back ***" == director[2]
    over = re.fullmatch(
        r"\*\*\* the show is over: (\d+) lines heard, (\d+) players lost their room, .* \*\*\*", director[3]
    )
    assert over is not None
    heard, lost = map(int, over.groups())
    assert heard > 0
    losers = [line for line in lines["login"] if "has lost the room: " in line]
    assert lost == len(losers) > 0
    assert "all nodes have stopped" == lines["up"][-1]


def test_ping_pong() -> None:
    lines = up("ping_pong", "app.calls=200", f"nodes.ping.standalone={free_address()}")
    figures = [re.sub(r" +[\d.]+ calls/s.*", "", line) for line in lines["ping"]]
    assert [
        "one caller, 16 bytes",
        "one caller, 16 KiB",
        "one caller, by way of a third node",
        "10 callers, 16 bytes",
        "100 callers, 16 bytes",
    ] == figures
    assert all(re.search(r" [1-9]\d* calls/s", line) for line in lines["ping"])
    assert "all nodes have stopped" == lines["up"][-1]
