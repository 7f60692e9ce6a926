"""``trionet console`` and ``trionet top`` against real nodes: one with a socket of its own, one over TCP."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from typer.testing import CliRunner, Result

from tests.ports import free_address
from trionet.cli import app
from trionet.cli.console_client import ConsoleClient
from trionet.cli.console_lines import Completer, edited, history_file
from trionet.kernel.seams import Seams
from trionet.net.console_places import places
from trionet.wire.secrets import format_secret

Invoke = Callable[..., Result]

SCRIPT = """
import trio
from trionet import Service, command

class Greeter(Service):
    @command
    def greet(self, who: str, loud: bool = False) -> str:
        return f"Hello, {who}" + ("!" if loud else "")

    async def setup(self):
        self.nursery.start_soon(self._tick)

    async def _tick(self):
        while True:
            await self.node.call(".greeter", "greet", "tick")
            await trio.sleep(0.05)

async def main(node):
    await node.start(Greeter, name=".greeter")
    await node.serve_forever()
"""


@attrs.frozen
class Nodes:
    """Two nodes that run: ``here``, with a socket of its own, and ``far``, with a console over TCP."""

    folder: Path
    here: subprocess.Popen[bytes]
    tcp: str
    secret: str


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="tc"))
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    secret, tcp = folder / "cluster.key", free_address()
    secret.write_text(format_secret(bytes(range(32))), encoding="utf-8")
    secret.chmod(0o600)
    reading, writing = os.pipe()
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "TRIONET_READY_FD": str(writing)}
    cluster = ["--harbor=7", f"--standalone={free_address()}", f"--secret-file={secret}"]
    commands = [["--name=here"], ["--name=far", f"--console={tcp}", *cluster]]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "trionet", "run", str(folder / "script.py"), *options],
            env=environ,
            pass_fds=[writing],
        )
        for options in commands
    ]
    os.close(writing)
    try:
        with open(reading, encoding="utf-8") as reports:
            assert sum('"ready"' in line for line in (reports.readline() for _ in range(4))) == 2
            yield Nodes(folder / "trionet", started[0], tcp, str(secret))
    finally:
        for each in started:
            each.terminate()
        codes = [each.wait(20) for each in started]
        left = [each.name for each in (folder / "trionet").iterdir()]
        shutil.rmtree(folder)
    assert (codes, left) == ([0, 0], [])


@pytest.fixture
def ask(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command line where the nodes are."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(nodes.folder.parent))
    monkeypatch.setenv("XDG_STATE_HOME", str(nodes.folder.parent / "state"))

    def invoke(*arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=typed)

    return invoke


def test_once(ask: Invoke, nodes: Nodes) -> None:
    path = str(places(nodes.folder)[0].path)
    for address in ("-", "here", f"here-{nodes.here.pid}", path, f"unix:{path}"):
        result = ask("console", address, "call", ".greeter", 'greet("Ann", loud=true)')
        assert (result.stdout, result.exit_code) == ("Hello, Ann!\n", 0)
    result = ask("console", "here", "names")
    assert result.stdout.split() == ["name", "handle", ".console", ":00000001", ".greeter", ":00000002"] + (
        [".launcher", ":00000003"] if ".launcher" in result.stdout else []
    )
    assert ask("console", "here", "logoff", ".greeter").stdout == "its messages were not logged\n"
    assert ask("console", "here", "logon", ".greeter", "1").stdout == "ok\n"
    assert ask("console", "here", "links").stdout == "none\n"


def test_once_as_json(ask: Invoke) -> None:
    result = ask("console", "--json", "here", "stat", ".greeter")
    assert json.loads(result.stdout)["class"] == "script:Greeter"


def test_over_tcp_with_the_secret(ask: Invoke, nodes: Nodes) -> None:
    result = ask("console", "--secret-file", nodes.secret, nodes.tcp, "--node", "7", "stat")
    assert result.exit_code == 0, result.output
    assert "far" in result.stdout
    result = ask("console", "--secret-file", nodes.secret, "--cluster", "other", nodes.tcp, "stat")
    assert result.exit_code == 2
    assert "the other end refused this node" in result.stderr


def test_over_tcp_with_a_wrong_secret(ask: Invoke, nodes: Nodes, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    wrong.write_text(format_secret(bytes(range(100, 132))), encoding="utf-8")
    result = ask("console", nodes.tcp, "--secret-file", str(wrong), "stat")
    assert result.exit_code == 2
    assert "the other end refused this node: secret" in result.stderr
    result = ask("console", nodes.tcp, "stat")
    assert (
        result.stderr == f"{nodes.tcp}: a console over TCP needs the secret of the cluster: --secret-file\n"
    )


def test_a_command_that_fails(ask: Invoke) -> None:
    result = ask("console", "here", "lst")
    assert (result.stdout, result.exit_code) == ("", 1)
    assert result.stderr == "BadLine: found 'lst', which is no command; did you mean \"list\"?\n"
    result = ask("console", "here", "call", ".greeter", "greet(None, 1, 2)")
    assert "BadArguments: " in result.stderr


def test_lines_from_a_file(ask: Invoke) -> None:
    """The exit code is that of the last line."""
    typed = 'call .greeter greet("A")\n\nnothing\n@0 call .greeter greet("B")\n'
    result = ask("console", "here", typed=typed)
    assert (result.stdout, result.exit_code) == ("Hello, A\nHello, B\n", 0)
    assert "found 'nothing'" in result.stderr
    assert ask("console", "here", typed="exit\nlst\n").exit_code == 0
    assert ask("console", "here", typed="lst\n").exit_code == 1


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("nobody", "found no console of a node named 'nobody' in "),
        ("unix:/nowhere/at.all", "unix:/nowhere/at.all: no console there: no such file"),
        ("/nowhere", "unix:/nowhere: no console there"),
    ],
)
def test_no_console(ask: Invoke, address: str, problem: str) -> None:
    for command in ("console", "top"):
        result = ask(command, address)
        assert (result.stdout, result.exit_code) == ("", 2)
        assert result.stderr.startswith(problem)


def test_something_else_answers(ask: Invoke, tmp_path_factory: pytest.TempPathFactory) -> None:
    result = ask("console", free_address(), "--secret-file", "/nowhere", "list")
    assert "cluster.secret_file: /nowhere cannot be read" in result.stderr


def test_top_once(ask: Invoke) -> None:
    result = ask("top", "here", "--once", "--interval", "0.2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("1 of 1 nodes, 3 services, ")
    assert lines[0].endswith(" messages a second, seen from here")
    (greeter,) = (line for line in lines if ".greeter" in line)
    assert float(greeter.split()[2]) > 1
    report = json.loads(ask("top", "here", "--once", "--interval", "0.1", "--json").stdout)
    assert report[0]["node"]["name"] == "here"


def test_words_are_completed(ask: Invoke, nodes: Nodes) -> None:
    address = places(nodes.folder)[0].address
    with ConsoleClient.connect(address, "trionet", (), Seams().random) as client:
        completer = Completer(client)
        assert {"list", "stat", "call", "help"} <= set(completer.words(""))
        assert "list" in completer.words("@0 ")
        assert {".greeter", ".console", ":00000002"} <= set(completer.words("stat "))
        assert ".greeter" in completer.words("@0 ping ")
        assert completer.words("list ") == []
        assert completer.words("call .greeter ") == []
        with edited(completer):
            pass
    assert completer.words("stat ") == []  # the console is gone, and nothing is raised
    assert history_file() == nodes.folder.parent / "state" / "trionet" / "console_history"
    assert history_file().exists()


def test_an_interrupt_ends_the_command_and_not_the_console(ask: Invoke, nodes: Nodes) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "trionet", "console", "here"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        child.stdin.write("messages .greeter\n")
        child.stdin.flush()
        assert "greet('tick') from :00000002" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate('call .greeter greet("Ann")\n', timeout=20)
    assert out.endswith("Hello, Ann\n")
    assert child.returncode == 0
