"""``trionet check``, and what the command line says of itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.writing import Write
from trionet import __version__

Invoke = Callable[..., Result]

SERVICES = """
from abc import abstractmethod
from trionet import Service, command

class Good(Service):
    def __init__(self, size): ...
    class Inner(Service): ...

class Interface(Service):
    @command
    @abstractmethod
    async def do(self) -> int: ...

class NoService: ...

def function(): ...
"""


def row(result: Result, key: str) -> list[str]:
    """The cells of one line of the table."""
    (line,) = [each for each in result.stdout.splitlines() if each.split()[:1] == [key]]
    return line.split()[1:]


def test_a_sound_configuration_is_shown_with_units_and_sources(write: Write, invoke: Invoke) -> None:
    write("services.py", SERVICES)
    config = write(
        "a.toml",
        """
        [node]
        stop_grace = 5
        [log.levels]
        a.b = "debug"
        [[services]]
        class = "services:Good"
        name = ".good"
        args = [5]
        restart = "always"
        [[services]]
        class = "services:Good.Inner"
        [app]
        hosts = ["x"]
        db = { url = "here", password = "nobody knows" }
        """,
    )
    result = invoke("check", config, "--set", "node.inbox=7")
    assert 0 == result.exit_code
    assert ["5", "s", "a.toml:3"] == row(result, "node.stop_grace")
    assert ["7", "messages", "--set"] == row(result, "node.inbox")
    assert ["60.0", "s", "default"] == row(result, "node.call_deadline")
    assert ['"DEBUG"', "a.toml:5"] == row(result, "log.levels.a.b")
    assert ['["x"]', "a.toml:14"] == row(result, "app.hosts")
    assert ['"here"', "a.toml:15"] == row(result, "app.db.url")
    assert ["(hidden)", "a.toml:15"] == row(result, "app.db.password")
    assert "nobody knows" not in result.stdout
    assert [".good", "(services:Good),", "restart", "always", "a.toml:6"] == row(result, "services[0]")
    assert ["services:Good.Inner", "a.toml:11"] == row(result, "services[1]")
    assert "OK: a.toml" == result.stdout.splitlines()[-1]


def test_an_env_file_counts(write: Write, invoke: Invoke) -> None:
    write(
        "needs_env.py", "import os\nfrom trionet import Service\nclass C(Service): x = os.environ['NEEDED']"
    )
    config = write("a.toml", '[[services]]\nclass = "needs_env:C"')
    assert 0 == invoke("check", config, "--env-file", write("a.env", "NEEDED=1")).exit_code
    assert "1" == os.environ["NEEDED"]


def test_every_problem_is_one_line_and_nothing_else(write: Write, invoke: Invoke) -> None:
    config = write("a.toml", "[node]\ninbox = 0\nstop_grace = -1\n[lg]")
    result = invoke("check", config, "--set", "nonsense")
    assert ("", 2) == (result.stdout, result.exit_code)
    assert 4 == len(result.stderr.splitlines())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent:C", 'but there is no module "absent"'),
        ("services.x:C", 'but there is no module "services.x"'),
        ("services:God", 'but the module "services" has no "God"; did you mean "Good"?'),
        ("services:Good.Iner", 'but "Good" has no "Iner"; did you mean "Inner"?'),
        ("services:NoService", "but it does not derive from trionet.Service"),
        ("services:function", "but it is of type function, expected a class"),
        ("needy:C", "but importing it failed: ModuleNotFoundError: No module named 'absent' (needy.py:1)"),
        ("broken:C", "but importing it failed: SyntaxError: invalid syntax (broken.py:2)"),
        ("raising:C", "but importing it failed: KeyError: 'x' (raising.py:3)"),
        ("leaving:C", "but importing it failed: SystemExit: 3 (leaving.py:1)"),
    ],
)
def test_a_class_that_cannot_be_used_is_one_line(
    write: Write, invoke: Invoke, tmp_path: Path, name: str, problem: str
) -> None:
    write("services.py", SERVICES)
    write("needy.py", "import absent")
    write("broken.py", "x = 1\ndef f(:\n")
    write("raising.py", "\ndef f():\n    raise KeyError('x')\nf()")
    write("leaving.py", "raise SystemExit(3)")
    result = invoke("check", write("a.toml", f'[[services]]\nclass = "{name}"'))
    expected = f'a.toml:1: services[0].class: found "{name}", {problem}\n'
    assert expected == result.stderr.replace(f"({tmp_path}/", "(")
    assert 2 == result.exit_code


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("services:Good", "Good(size): missing a required argument: 'size'"),
        ("services:Interface", "Interface is an interface: do has no body"),
    ],
)
def test_arguments_that_do_not_fit_are_one_line(
    write: Write, invoke: Invoke, name: str, problem: str
) -> None:
    write("services.py", SERVICES)
    result = invoke("check", write("a.toml", f'[[services]]\nclass = "{name}"'))
    expected = f"a.toml:1: services[0]: found a class or arguments that do not fit: {problem}\n"
    assert (expected, 2) == (result.stderr, result.exit_code)


def test_all_classes_that_cannot_be_used_are_told_at_once_by_run_too(write: Write, invoke: Invoke) -> None:
    config = write("a.toml", '[[services]]\nclass = "absent_a:C"\n[[services]]\nclass = "absent_b:C"')
    for command in (["check", config], ["run", "--config", config]):
        result = invoke(*command)
        assert ["a.toml:1", "a.toml:3"] == [each[:8] for each in result.stderr.splitlines()]
        assert 2 == result.exit_code


# --- the command itself ---------------------------------------------------------------------------------


def test_the_version(invoke: Invoke) -> None:
    result = invoke("--version")
    assert (f"trionet {__version__}\n", 0) == (result.stdout, result.exit_code)


def test_help_names_the_commands_and_each_has_examples(invoke: Invoke) -> None:
    overview = invoke("--help")
    assert 0 == overview.exit_code
    for command in ("run", "up", "check", "keygen"):
        assert f" {command} " in overview.stdout
        result = invoke(command, "--help")
        assert 0 == result.exit_code
        assert f"trionet {command} " in result.stdout.partition("Examples")[2]


@pytest.mark.parametrize("arguments", [["rnu"], ["--nothing"], ["check"]])
def test_wrong_usage_is_told(invoke: Invoke, arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert 2 == result.exit_code
    assert "Usage: " in result.stderr


def test_figures_are_only_exposed_where_that_is_said(write: Write, invoke: Invoke) -> None:
    config = write("a.toml", '[metrics]\naddress = "0.0.0.0:9464"\n')
    (line,) = invoke("check", config).stderr.splitlines()
    assert line.startswith('a.toml:2: metrics.address: found "0.0.0.0:9464", which other machines can reach')
    wrong = invoke("check", config, "--set", "metrics.address=here").stderr
    assert "--set: metrics.address: found \"here\", expected an address: 'host:port' or '[v6]:port'" in wrong
    shown = invoke("check", config, "--set", "metrics.exposed=true", "--set", "trace.sample=0.5")
    assert ['"0.0.0.0:9464"', "a.toml:2"] == row(shown, "metrics.address")
    assert ["0.5", "--set"] == row(shown, "trace.sample")


def test_figures_need_what_their_extra_brings(
    write: Write, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "trionet.services.metrics", raising=False)
    config = write("a.toml", '[metrics]\naddress = "127.0.0.1:9464"\n')
    (line,) = invoke("check", config).stderr.splitlines()
    assert "prometheus_client" in line
    assert line.startswith("a.toml:2: metrics.address")
