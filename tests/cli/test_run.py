"""``trionet run`` in this process: scripts and services, right and wrong."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.writing import Write

Invoke = Callable[..., Result]

GREETER = """
from trionet import Service, command


class Greeter(Service):
    def __init__(self, greeting="Hello"):
        self.greeting = greeting

    @command
    def greet(self, who):
        self.log.info("greeting %s", who)
        print(f"{self.greeting}, {who}!")
"""

HELLO = (
    GREETER
    + """
async def main(node):
    greeter = await node.start(Greeter, name=".greeter")
    await greeter.greet("Trio")
    print(Greeter.__module__, node.name)
"""
)


def test_a_script_runs_and_its_classes_belong_to_a_module_of_its_name(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("hello.py", HELLO), "--name", "world")
    assert ("Hello, Trio!\nhello world\n", 0) == (result.stdout, result.exit_code)
    pattern = r"INFO     :00000002 \.greeter \[[0-9a-f]{16}\] hello\.Greeter: greeting Trio\n"
    assert re.search(pattern, result.stderr)


def test_a_script_can_import_its_neighbours_and_be_imported(write: Write, invoke: Invoke) -> None:
    write("sub/neighbour.py", "import script_a\nprint(script_a.__file__)")
    result = invoke("run", write("sub/script_a.py", "import neighbour\nasync def main(node): pass"))
    assert (f"{Path('sub/script_a.py').resolve()}\n", 0) == (result.stdout, result.exit_code)


def test_a_script_needs_no_ending(write: Write, invoke: Invoke) -> None:
    assert 0 == invoke("run", write("a-script", "async def main(node): pass")).exit_code


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("node, args", "(('a', '--b'),)"),
        ("node, *args", "('a', '--b')"),
        ("node, /, args=None", "(('a', '--b'),)"),
    ],
)
def test_arguments_reach_main_and_argv(write: Write, invoke: Invoke, parameters: str, expected: str) -> None:
    text = f"import sys\nasync def main({parameters}):\n    print(sys.argv, ARGS)"
    text = text.replace("ARGS", "args" if "*" in parameters else "(args,)")
    result = invoke("run", write("with_args.py", text), "a", "--log-level", "error", "--", "--b")
    assert (f"['with_args.py', 'a', '--b'] {expected}\n", 0) == (result.stdout, result.exit_code)


def test_a_main_that_takes_only_the_node_can_read_argv(write: Write, invoke: Invoke) -> None:
    script = write("argv.py", "import sys\nasync def main(node): print(sys.argv[1:])")
    assert "['a']\n" == invoke("run", script, "a").stdout


def test_a_console_that_cannot_listen_where_it_should_is_one_line(write: Write, invoke: Invoke) -> None:
    script = write("main.py", "async def main(node): print('runs')")
    write("file", "")
    result = invoke("run", script, "--console", "unix:file/c.sock")
    assert (result.stdout, result.exit_code) == ("", 1)
    line = "--console: console.address: cannot listen at unix:file/c.sock: "
    assert line in result.stderr
    assert "Traceback" not in result.stderr
    assert invoke("run", script, "--console", "none").stdout == "runs\n"


def test_without_a_folder_for_it_there_is_no_console(
    write: Write, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has asked for it, so it is a warning."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", write("file", ""))
    result = invoke("run", write("main.py", "async def main(node): print('runs')"))
    assert (result.stdout, result.exit_code) == ("runs\n", 0)
    assert "WARNING" in result.stderr
    assert "console.address: cannot listen at auto: " in result.stderr
    assert "this node has no console" in result.stderr


def test_an_unknown_option_is_wrong_usage(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("opt.py", "async def main(node): pass"), "--nothing")
    assert 2 == result.exit_code
    assert "--nothing" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "syntax.py",
            "x = 1\ndef main(:\n",
            "syntax.py:2: found no valid Python: invalid syntax: def main(:",
        ),
        ("indent.py", "def f():\nx", "indent.py:2: found no valid Python: expected an indented block after"),
        (
            "node.toml",
            "[node]",
            "node.toml: found a configuration, expected a script; trionet run --config node.toml",
        ),
        ("nobody.py", "x = 1", "nobody.py: found no main, expected async def main(node)"),
        ("sync.py", "def main(node): pass", "sync.py: found a main that is not async, expected async def"),
        ("number.py", "main = 5", "number.py: found a main that is int, expected async def main(node)"),
        ("stream.py", "async def main(node): yield", "stream.py: found a main with a yield in it, expected"),
        (
            "none.py",
            "async def main(): pass",
            "none.py: found main(), expected main(node) or main(node, args)",
        ),
        ("more.py", "async def main(a, b, c): pass", "more.py: found main(a, b, c), expected main(node) or"),
        (
            "kw.py",
            "async def main(node, *, x): pass",
            "kw.py: found main(node, *, x), expected main(node) or",
        ),
        ("null.py", "a\0b", "null.py: found no valid Python: source code string cannot contain null bytes"),
        ("json.py", "", 'json.py: found a script that hides the module "json", expected another file name'),
        ("pytest.py", "", 'pytest.py: found a script that hides the module "pytest", expected another file'),
    ],
)
def test_a_wrong_script_is_one_line(
    write: Write, invoke: Invoke, name: str, text: str, expected: str
) -> None:
    result = invoke("run", write(name, text))
    (line,) = result.stderr.splitlines()
    assert line.startswith(expected)
    assert 2 == result.exit_code


def test_a_script_that_is_no_text_is_one_line(invoke: Invoke) -> None:
    Path("binary.py").write_bytes(b"\xff\xfe\x00")
    (line,) = invoke("run", "binary.py").stderr.splitlines()
    assert line.startswith("binary.py")
    assert "found no valid Python: " in line


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.py", "no such file or directory"), (".", "is a directory")]
)
def test_a_script_that_cannot_be_read_is_one_line(invoke: Invoke, name: str, reason: str) -> None:
    result = invoke("run", name)
    assert (f"{name}: found no script that can be read: {reason}\n", 2) == (result.stderr, result.exit_code)


def test_nothing_to_run_is_one_line(write: Write, invoke: Invoke) -> None:
    for arguments in (["run"], ["run", "--config", write("empty.toml", "")]):
        result = invoke(*arguments)
        expected = "found nothing to run, expected a script or a --config with [[services]]\n"
        assert (expected, 2) == (result.stderr, result.exit_code)


def test_a_script_that_raises_while_it_is_loaded_shows_its_own_frames(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("early.py", "def f():\n    raise KeyError('x')\nf()"))
    first, *frames, last = result.stderr.splitlines()
    assert first.endswith(" CRITICAL - trionet.run: early.py could not be loaded")
    assert ("KeyError: 'x'", 1) == (last, result.exit_code)
    assert 2 == sum(each.startswith("  File ") for each in frames)


@pytest.mark.parametrize("before", ["", "    await trio.sleep(0.01)\n"])
def test_a_main_that_raises_shows_its_own_frames(write: Write, invoke: Invoke, before: str) -> None:
    result = invoke(
        "run", write("fails.py", f"import trio\nasync def main(node):\n{before}    raise KeyError('x')")
    )
    first, *frames, last = result.stderr.splitlines()
    assert first.endswith(" CRITICAL - trionet.run: main failed")
    assert ("KeyError: 'x'", 1) == (last, result.exit_code)
    assert [f'  File "{Path("fails.py").resolve()}"'] == [
        each.partition(",")[0] for each in frames if each.startswith("  File ") and "trionet" not in each
    ]


def test_a_group_of_exceptions_is_a_crash(write: Write, invoke: Invoke) -> None:
    text = "async def main(node):\n    raise BaseExceptionGroup('all', [KeyError('x'), KeyboardInterrupt()])"
    result = invoke("run", write("group.py", text))
    assert 1 == result.exit_code
    assert "KeyError: 'x'" in result.stderr


@pytest.mark.parametrize(
    "where", ["sys.exit(3)\nasync def main(node): pass", "async def main(node):\n    sys.exit(3)"]
)
def test_a_script_can_choose_its_exit_code(write: Write, invoke: Invoke, where: str) -> None:
    assert 3 == invoke("run", write("leaves.py", f"import sys\n{where}")).exit_code


def test_a_crash_is_a_line_of_json_if_that_is_the_format(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("fails_json.py", "async def main(node): 1 / 0"), "--log-format", "json")
    line = json.loads(result.stderr)
    assert ("CRITICAL", "main failed", "fails_json") == (line["level"], line["message"], line["node"])
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


# --- settings -------------------------------------------------------------------------------------------


def test_settings_come_from_everywhere(write: Write, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    script = write(
        "shows.py",
        "import os\nasync def main(node):\n"
        "    c = node.config\n    print(c.name, c.inbox, c.concurrency, c.stop_grace, c.app['x'])\n"
        "    print(os.environ['FROM_FILE'])",
    )
    config = write("a.toml", '[node]\nname = "a"\ninbox = 1\nconcurrency = 1\n[app]\nx = "${FROM_FILE}"')
    monkeypatch.setenv("TRIONET_NODE_CONCURRENCY", "2")
    env = write("a.env", "FROM_FILE=here\nTRIONET_LOG_LEVEL=error")
    result = invoke(
        "run", script, "-c", config, "--env-file", env, "--set", "node.stop_grace=3", "--name", "b"
    )
    assert ("b 1 2 3.0 here\nhere\n", "", 0) == (result.stdout, result.stderr, result.exit_code)
    assert "here" == os.environ["FROM_FILE"]


def test_wrong_settings_are_one_line_each(write: Write, invoke: Invoke) -> None:
    config = write("a.toml", "[node]\ninbox = 0\nnme = 'x'")
    result = invoke("run", "missing.py", "--config", config, "--log-format", "xml", "--name", "a b")
    name = "a name of 1 to 64 letters, digits, dots, hyphens or underscores"
    assert [
        "a.toml:2: node.inbox: found 0, expected a whole number of messages, 1 or more",
        'a.toml:3: node.nme: unknown key; did you mean "name"?',
        f'--name: node.name: found "a b", expected {name}',
        '--log-format: log.format: found "xml", expected one of "text", "json"',
    ] == result.stderr.splitlines()
    assert 2 == result.exit_code


# --- services -------------------------------------------------------------------------------------------


def test_services_of_a_configuration_start_before_main_with_their_arguments(
    write: Write, invoke: Invoke
) -> None:
    write("conf/greeters.py", GREETER)
    config = write(
        "conf/a.toml",
        """
        [[services]]
        class = "greeters:Greeter"
        name = ".one"
        [[services]]
        class = "greeters:Greeter"
        name = ".two"
        args = ["Hi"]
        restart = "failure"
        """,
    )
    text = "async def main(node):\n    for name in ('.one', '.two'): await node.call(name, 'greet', 'you')"
    result = invoke("run", write("calls.py", text), "--config", config)
    assert ("Hello, you!\nHi, you!\n", 0) == (result.stdout, result.exit_code)


def test_services_alone_serve_until_the_node_is_asked_to_stop(write: Write, invoke: Invoke) -> None:
    write(
        "stopper.py",
        "import trionet\nclass Stopper(trionet.Service):\n    async def setup(self): self.node.shutdown()",
    )
    config = write("a.toml", '[[services]]\nclass = "stopper:Stopper"\nname = ".s"')
    assert 0 == invoke("run", "--config", config).exit_code


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def __init__(self): raise KeyError('x')", "KeyError: 'x'"),
        ("async def setup(self): raise KeyError('x')", "KeyError: 'x'"),
        ("async def setup(self): await trio.sleep_forever()", "start_deadline"),
    ],
)
def test_a_service_that_does_not_start_is_named_and_ends_the_node(
    write: Write, invoke: Invoke, body: str, reason: str
) -> None:
    write("failing.py", f"import trio\nfrom trionet import Service\nclass Bad(Service):\n    {body}")
    config = write(
        "a.toml", '[node]\nstart_deadline = 0.01\n[[services]]\nclass = "failing:Bad"\nname = ".bad"'
    )
    result = invoke("run", "--config", config)
    lines = [each for each in result.stderr.splitlines() if "CRITICAL" in each]
    (line,) = lines
    assert "trionet.run: a.toml:3: services[0]: .bad (failing:Bad) did not start: " in line
    assert 1 == result.exit_code
    if reason != "start_deadline":
        assert reason in result.stderr


PROFILED = """
from trionet import Service, command

class Squares(Service):
    @command
    def square(self, number: int) -> int:
        return number * number // number

async def main(node):
    squares = await node.start(Squares)
    for number in range(3):
        try:
            await squares.square(number)
        except Exception as error:
            print(error.type_name)
"""


def test_a_profile_is_a_table_at_the_end(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("squares_of.py", PROFILED), "--profile")
    assert (result.stdout, result.exit_code) == ("ZeroDivisionError\n", 0)
    head, line = result.stderr.splitlines()
    assert "service             command  calls  errors  cancelled  CPU s" in head
    assert line.split()[:5] == ["squares_of:Squares", "square", "3", "1", "0"]
    assert len(line.split()) == 10


def test_a_profile_of_nothing_and_of_a_node_that_crashed(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("nothing.py", "async def main(node): raise KeyError"), "--profile")
    assert "KeyError" in result.stderr
    assert "profile: no handler has ended" in result.stderr
    assert "profile:" not in invoke("run", write("other.py", "async def main(node): pass")).stderr


METRICS = """
import trio
from trionet.services.metrics import MetricsServer

async def main(node):
    (address,) = await node.ref(".metrics", MetricsServer).addresses()
    host, _, port = address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
        page = b"".join([each async for each in stream])
    print(page.splitlines()[0].split()[1], b"trionet_services " in page)
"""


def test_figures_are_served_where_the_settings_say(write: Write, invoke: Invoke) -> None:
    result = invoke("run", write("figures.py", METRICS), "--set", "metrics.address=127.0.0.1:0")
    assert (result.stdout, result.exit_code) == ("b'200' True\n", 0)


@pytest.mark.parametrize(
    ("file", "options", "name"),
    [
        ("world.py", (), "world"),
        ("world.py", ("--name", "other"), "other"),
        ("world.py", ("--set", "node.name=node"), "node"),
        ("a world.py", (), "node"),
    ],
)
def test_a_node_without_a_name_is_named_like_its_script(
    write: Write, invoke: Invoke, file: str, options: tuple[str, ...], name: str
) -> None:
    """So that logs and consoles of several nodes differ; what is no name of a node is not taken."""
    script = write(file, "async def main(node): print(node.name)")
    result = invoke("run", script, *options)
    assert (f"{name}\n", 0) == (result.stdout, result.exit_code), result.stderr
