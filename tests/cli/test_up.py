"""``trionet up`` and other nodes of a cluster as real processes."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from typer.testing import Result

from tests import ports
from tests.writing import Write

Invoke = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]

#: Seconds after which a process counts as hung.
HUNG = 50

WORLD = """
import trionet
class World(trionet.Service):
    @trionet.command
    def enter(self, who: str) -> str:
        return f"welcome {who}"
async def main(node):
    await node.start(World, name="world")
    await node.serve_forever()
"""
ROOM = """
import os, sys, trionet
async def main(node, *args):
    await node.wait_for_name("world")
    print("pid", os.getpid(), flush=True)
    print(await node.call("world", "enter", node.name), *args)
    if "crash" in args and not os.path.exists("crashed"):
        open("crashed", "w").close()
        raise KeyError("once")
    await node.serve_forever()
"""
CLUSTER = """
[cluster]
secret_file = "cluster.key"
[nodes.room1]
script = "room.py"
harbor = 2
[nodes.world]
script = "world.py"
harbor = 1
standalone = "127.0.0.1:PORT"
[nodes.room2]
script = "room.py"
args = ["crash"]
"""


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    return ports.free_port()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a command; what still runs afterwards is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "trionet", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def cluster(write: Write, invoke: Invoke, port: int) -> str:
    """A cluster.toml with a master and two rooms, one of which crashes once."""
    assert 0 == invoke("keygen", "cluster.key").exit_code
    write("world.py", WORLD)
    write("room.py", ROOM)
    return write("cluster.toml", CLUSTER.replace("PORT", str(port)))


class Reader:
    """What a process prints, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def read_to(self, pattern: str) -> str:
        """Read up to a line with a pattern; return what its group matches."""
        stream: IO[str] | None = self.process.stdout
        assert stream is not None
        for line in stream:
            self.lines.append(" ".join(line.split()))
            match = re.search(pattern, self.lines[-1])
            if match is not None:
                return match[match.lastindex or 0]
        raise AssertionError(f"no {pattern!r} in\n" + "\n".join(self.lines))

    def end(self) -> int:
        """Read the rest; return the exit code."""
        rest, _ = self.process.communicate(timeout=HUNG)
        self.lines += [" ".join(line.split()) for line in rest.splitlines()]
        return self.process.returncode

    def place(self, text: str) -> int:
        """The number of the first line with a text."""
        return next(index for index, line in enumerate(self.lines) if text in line)


def wait_for_end_of(pid: int) -> None:
    """Wait until a process that is no child of this one has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with open(descriptor, "rb"):
        assert select.select([descriptor], [], [], HUNG)[0], f"process {pid} still runs"


def test_three_nodes_one_crashes_and_comes_back_and_the_master_stops_last(cluster: str, start: Start) -> None:
    up = Reader(start("up", cluster))
    up.read_to(r"up \| room2 has ended with exit code 1; starting it again in 0.5 s")
    up.read_to(r"room2 \| welcome room2 crash")
    up.process.send_signal(signal.SIGTERM)
    assert 0 == up.end(), "\n".join(up.lines)
    assert up.place("up | world is ready") < up.place("up | room1 has joined")
    assert up.place("room2 | KeyError: 'once'") < up.place("up | room2 has ended with exit code 1")
    stops = [up.place(f"up | {name} has stopped") for name in ("room1", "room2", "world")]
    assert stops[2] == max(stops) < up.place("up | all nodes have stopped")
    # room1 may dial room2 in the moment in which that one crashes
    lines = [line for line in up.lines if "cannot be reached" not in line]
    assert not any(" WARNING " in line or " ERROR " in line for line in lines), "\n".join(up.lines)


def test_nodes_do_not_outlive_up(cluster: str, start: Start, write: Write) -> None:
    write("crashed", "")
    up = Reader(start("up", cluster))
    pids = [int(up.read_to(r"pid (\d+)")) for _ in range(2)]
    up.process.kill()
    for pid in pids:
        wait_for_end_of(pid)
    assert -signal.SIGKILL == up.end()
    assert not any("Traceback" in line for line in up.lines), "\n".join(up.lines)


def test_a_port_that_is_taken_is_one_line_and_ends_all(cluster: str, start: Start, port: int) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))
        sock.listen()
        up = Reader(start("up", cluster, "--set", "nodes.world.restart=never"))
        assert 1 == up.end()
    assert f"cluster.toml:10: cluster.standalone: cannot listen at 127.0.0.1:{port}: " in up.lines[0]
    assert [
        "up | world has ended with exit code 1",
        "up | stopping all nodes, because world has failed",
        "up | all nodes have stopped",
    ] == up.lines[1:]


def test_the_wrong_secret_a_taken_id_and_a_name_of_another_cluster(
    cluster: str, start: Start, invoke: Invoke, write: Write, port: int
) -> None:
    world = Reader(start("run", "-c", cluster, "--node", "world"))
    world.read_to("node world joined as harbor 1")
    assert 0 == invoke("keygen", "other.key").exit_code
    master = ["run", write("nothing.py", "async def main(node): ..."), "--master", f"127.0.0.1:{port}"]
    stranger = Reader(start(*master, "--secret-file", "other.key"))
    taken = Reader(start(*master, "--secret-file", "cluster.key", "--harbor", "1"))
    other = Reader(start(*master, "--secret-file", "cluster.key", "--set", "cluster.name=other"))
    assert (1, 1, 1) == (stranger.end(), taken.end(), other.end())
    assert "--harbor: cluster.harbor: harbor id 1 belongs to " in taken.lines[-1]
    for each in (stranger, other):
        assert "--master: cluster.master: no master for this node at " in each.lines[-1]
        assert "refused this node: secret, name of the cluster" in each.lines[-1]
    world.process.send_signal(signal.SIGTERM)
    assert 0 == world.end()


# --- before anything starts -----------------------------------------------------------------------------


def test_every_problem_is_one_line_and_nothing_starts(write: Write, invoke: Invoke) -> None:
    text = """\
[node]
inbox = 0
[nodes.a]
script = "a.py"
harbour = 1
"""
    result = invoke("up", write("cluster.toml", text), "--set", "nonsense")
    assert ("", 2) == (result.stdout, result.exit_code)
    assert {
        '--set: found "nonsense", expected key=value',
        'cluster.toml:5: nodes.a.harbour: unknown key; did you mean "harbor"?',
        "cluster.toml:2: node.inbox: found 0, expected a whole number of messages, 1 or more",
    } == set(result.stderr.splitlines())


def test_scripts_and_secrets_that_are_not_there_are_told_before(write: Write, invoke: Invoke) -> None:
    text = """\
[cluster]
secret_file = "no.key"
master = "127.0.0.1:1"
[nodes.a]
script = "a.py"
[nodes.b]
script = "b.py"
"""
    for command in ("up", "check"):
        result = invoke(command, write("cluster.toml", text))
        assert ("", 2) == (result.stdout, result.exit_code)
        secret, *scripts = sorted(
            result.stderr.splitlines(), key=lambda line: line.endswith("expected a script")
        )
        assert secret.startswith("cluster.toml:2: cluster.secret_file: no.key cannot be read: ")
        assert [
            "cluster.toml:4: nodes.a.script: found no file a.py, expected a script",
            "cluster.toml:6: nodes.b.script: found no file b.py, expected a script",
        ] == scripts


def test_a_file_that_is_not_there_is_one_line(invoke: Invoke) -> None:
    result = invoke("up", "absent.toml")
    expected = (
        '--config: config: found "absent.toml", expected a file that can be read: no such file or directory'
    )
    assert (f"{expected}\n", 2) == (result.stderr, result.exit_code)


def test_an_env_file_reaches_the_nodes(write: Write, start: Start) -> None:
    write("shows_env.py", "import os\nasync def main(node): print(os.environ['GIVEN'], node.config.inbox)")
    file = write("cluster.toml", '[nodes.a]\nscript = "shows_env.py"')
    up = Reader(start("up", file, "--env-file", write("a.env", "GIVEN=here"), "--set", "node.inbox=7"))
    assert 0 == up.end()
    assert "a | here 7" in up.lines


# --- check ----------------------------------------------------------------------------------------------


def test_check_shows_the_nodes_and_what_they_set(write: Write, invoke: Invoke, cluster: str) -> None:
    Path("cluster.key").chmod(0o644)
    result = invoke("check", cluster, "--set", "nodes.room1.node.stall_threshold=30")
    assert 0 == result.exit_code
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert [
        "node runs harbor address restart from",
        "room1 room.py 2 127.0.0.1:0 failure cluster.toml:4",
        "world world.py 1 (master) 127.0.0.1:0 failure cluster.toml:7",
        "room2 room.py crash auto 127.0.0.1:0 failure cluster.toml:11",
    ] == lines[:4]
    assert "[nodes.room1]" in lines
    assert "node.stall_threshold 30 s --set" in lines
    assert "OK: cluster.toml" == lines[-1]
    stall, secret = result.stderr.splitlines()
    assert stall.startswith("warning: cluster.heartbeat_timeout: found 20 s, better at least 60, ")
    assert stall.endswith(" (room1)")
    assert secret.startswith("warning: cluster.toml:3: cluster.secret_file: found cluster.key with mode 0644")


def test_check_shows_one_node_in_full(invoke: Invoke, cluster: str) -> None:
    result = invoke("check", cluster, "--node", "room1")
    assert 0 == result.exit_code
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "cluster.harbor 2 cluster.toml:6" in lines
    assert "cluster.heartbeat 5.0 s default" in lines
    assert "cluster.tls_key none default" in lines


def test_check_finds_classes_of_nodes_that_cannot_be_used(write: Write, invoke: Invoke) -> None:
    text = '[[services]]\nclass = "absent_a:C"\n[nodes.a]\n[[nodes.a.services]]\nclass = "absent_b:C"'
    result = invoke("check", write("cluster.toml", text))
    assert 2 == result.exit_code
    assert ["cluster.toml:1", "cluster.toml:4"] == [line[:14] for line in result.stderr.splitlines()]
