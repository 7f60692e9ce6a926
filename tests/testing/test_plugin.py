"""The pytest plugin as a user sees it: in a process of its own, with and without the mode of pytest-trio."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SERVICE = """
import pytest, trio
from trionet import NodeConfig, Service, command

class Echo(Service):
    @command(deadline=1001)
    async def echo(self, text: str) -> str:
        await trio.sleep(1000)
        return text
"""

#: Must pass in Trio mode.
TRIO_MODE = """
async def test_time_is_virtual(node):
    echo = await node.start(Echo)
    assert await echo.echo("x") == "x"

class TestSettings:
    @pytest.fixture
    def node_config(self):
        return NodeConfig(name="mine")

    async def test_settings_come_from_a_fixture(self, node):
        assert node.name == "mine"

async def test_a_clock_of_the_test_is_used(node, mock_clock):
    mock_clock.rate = 1e6
    began = mock_clock.current_time()
    await trio.sleep(1000)
    assert mock_clock.current_time() - began >= 1000

found = []

@pytest.mark.parametrize("number", range(3))
async def test_chance_and_order_are_the_same_in_each_test(node, number):
    order = []
    async def note(key):
        await trio.lowlevel.checkpoint()
        order.append(key)
    async with trio.open_nursery() as nursery:
        for key in range(20):
            nursery.start_soon(note, key)
    found.append((node.incarnation, order))
    assert found[-1] == found[0]
"""

#: Must pass without Trio mode.
MARKED = """
@pytest.mark.trio
async def test_the_marker_is_enough(node):
    echo = await node.start(Echo)
    assert await echo.echo("x") == "x"

ran = []

def run(*args, **kwargs):
    ran.append("mine")
    return trio.run(*args, **kwargs)

@pytest.mark.trio(run=run)
async def test_a_run_function_of_the_marker_is_used(node):
    assert ran == ["mine"]

def test_others():
    pass
"""

#: The first and the last must fail.
FAILING = """
async def test_leak(node):
    node.nursery.start_soon(trio.sleep_forever)

async def test_no_leak(node):
    pass

def test_not_async(node):
    pass
"""

#: The last must fail without pytest-trio; the others do not notice the plugin.
WITHOUT = """
class TestOwn:
    @pytest.fixture
    def node(self):
        return "a node of my own"

    def test_a_fixture_of_the_same_name(self, node):
        assert node == "a node of my own"

def test_no_fixture():
    pass

def test_it(node):
    pass
"""

EXPLANATION = "the fixtures of trionet are for tests that pytest-trio runs"


def run_pytest(folder: Path, test: str, *arguments: str, ini: str = "") -> tuple[int, str]:
    """Run pytest on a module; its exit code and what it printed."""
    (folder / "test_it.py").write_text(SERVICE + test, encoding="utf-8")
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_in_trio_mode(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, TRIO_MODE, ini="trio_mode = true")
    assert code == 0, output
    assert "6 passed" in output


def test_without_trio_mode(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, MARKED)
    assert code == 0, output
    assert "3 passed" in output


def test_a_leak_fails_the_test_that_left_it(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, FAILING, ini="trio_mode = true")
    assert code == 1
    assert "1 failed, 1 passed, 1 error" in output
    assert "left on the node:" in output
    assert "  task trio.sleep_forever" in output
    assert EXPLANATION in output


def test_without_pytest_trio(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, WITHOUT, "-p", "no:trio")
    assert code == 1
    assert "2 passed, 1 error" in output
    assert EXPLANATION in output
    assert "Traceback" not in output


def test_the_plugin_costs_little_at_the_start_of_pytest() -> None:
    """It is active wherever trionet is installed: what only few tests need must wait."""
    heavy = ["hypothesis", "rich", "typer", "cattrs", "trio_websocket", "trionet.cli", "trionet.services"]
    code = f"import sys, trionet.testing.plugin; print([each for each in {heavy} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
