"""Everything in the documentation that looks like code is run; docs/contributing.md has the rules."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

import trionet

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "toml", "text"}
#: Seconds of virtual time that a program may take.
PROGRAM_TIME = 3600

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>[^\n]*?) -->[ ]*\n\s*?)?"
    r"^(?P<indent>[ ]*)(?P<fence>```+|~~~+)(?P<language>\w+)[ ]*\n"
    r"(?P<text>.*?)"
    r"^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@attrs.frozen
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    mark: str
    text: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_test_module(self) -> bool:
        """Whether it is Python with functions named ``test_...``."""
        if self.language != "python" or self.mark:
            return False
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        return any(
            isinstance(each, kinds) and each.name.startswith("test_") for each in ast.parse(self.text).body
        )

    @property
    def code(self) -> str:
        """The text, moved down so that a traceback shows the line of the page."""
        return "\n" * self.line + self.text


def find_blocks(page: Path, text: str) -> list[Block]:
    """Find the blocks of a page; an ``output`` block is told to the program before it."""
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        if match["language"] not in LANGUAGES:
            continue
        line = text.count("\n", 0, match.start("fence")) + 1
        body = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        block = Block(page, line, match["language"], match["mark"] or "", body)
        if block.mark == "output":
            assert found, f"{block}: output of nothing"
            found[-1] = attrs.evolve(found[-1], output=body)
        elif block.language != "text":
            found.append(block)
    return found


def all_blocks() -> Iterator[Block]:
    """Find the blocks of all pages."""
    for page in PAGES:
        yield from find_blocks(page, page.read_text(encoding="utf-8"))


BLOCKS = list(all_blocks())


@pytest.mark.parametrize("block", [each for each in BLOCKS if not each.is_test_module], ids=str)
def test_block(block: Block, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The block does what it looks like."""
    action, argument = choose(block)
    action(block, argument or str(tmp_path))
    if block.output is not None:
        assert capsys.readouterr().out == block.output


def test_blocks_with_tests(tmp_path: Path) -> None:
    run_tests([each for each in BLOCKS if each.is_test_module], tmp_path)


def choose(block: Block) -> tuple[Callable[[Block, str], None], str]:
    """Choose what is done with a block, from its mark and its content."""
    match block.language, *block.mark.partition(": "):
        case "python", "", *_:
            return run_python, ""
        case "python", "compile only", *_:
            return compile_only, ""
        case "python", "file", _, path:
            return run_file, path
        case "python", "part", _, path:
            return compile_part, path
        case "toml", "", *_:
            return parse_toml, ""
        case "toml", "config", *_:
            return check_config, ""
    raise ValueError(f"{block}: <!-- {block.mark} --> means nothing above a {block.language} block")


def compile_only(block: Block, _: str) -> None:
    """Compile a fragment, which may await outside of any function."""
    compile(block.code, str(block), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def run_file(block: Block, path: str) -> None:
    """Run a program that must be in a file as well."""
    assert block.text in (ROOT / path).read_text(encoding="utf-8")
    run_python(block, "")


def compile_part(block: Block, path: str) -> None:
    """Compile a part of a program; it must be in the file, which other tests run."""
    assert block.text in (ROOT / path).read_text(encoding="utf-8")
    compile_only(block, "")


def run_python(block: Block, _: str) -> None:
    """Run a program or a script."""
    module = types.ModuleType("docs_" + re.sub(r"\W", "_", str(block)))
    sys.modules[module.__name__] = module
    try:
        exec(compile(block.code, str(block), "exec", dont_inherit=True), vars(module))
        if inspect.iscoroutinefunction(main := vars(module).get("main")):
            trio.run(run_main, main, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        del sys.modules[module.__name__]


async def run_main(main: Callable[[trionet.Node], Awaitable[object]]) -> None:
    """Run the ``main`` of a program as ``trionet run`` does, in virtual time."""
    with trio.fail_after(PROGRAM_TIME):
        async with trionet.open_node() as node:
            await main(node)


def run_tests(blocks: list[Block], folder: Path) -> None:
    """Run test modules with the settings that the pages tell users to have; all at once, which is faster."""
    for block in blocks:
        name = "test_" + re.sub(r"\W", "_", str(block))
        (folder / f"{name}.py").write_text(block.code, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n", encoding="utf-8")
    run_child("-m", "pytest", "-q", "-W", "error", cwd=folder)


def parse_toml(block: Block, _: str) -> None:
    """Parse a block of TOML."""
    tomllib.loads(block.text)


def check_config(block: Block, folder: str) -> None:
    """Check a configuration as a user would."""
    path = Path(folder) / "config.toml"
    path.write_text(block.text, encoding="utf-8")
    run_child("-m", "trionet", "check", str(path), cwd=Path(folder))


def run_child(*arguments: str, cwd: Path) -> None:
    """Run Python in a process of its own; what it said is the failure's text."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


# --- the rules themselves -------------------------------------------------------------------------------

PAGE = """\
<!-- compile only -->
```python
await trio.sleep(1)
```

1. In a list:

   ```python
   print("here")
   ```

   <!-- output -->
   ```text
   here
   ```

```console
$ not code
```
"""


def test_blocks_are_found_with_mark_line_and_output() -> None:
    fragment, program = find_blocks(ROOT / "page.md", PAGE)
    assert ("compile only", 2, None) == (fragment.mark, fragment.line, fragment.output)
    assert ("", 8, "here\n") == (program.mark, program.line, program.output)
    assert 'print("here")\n' == program.text


def test_a_mark_without_meaning_is_an_error() -> None:
    (block,) = find_blocks(ROOT / "page.md", "<!-- compile onyl -->\n```python\npass\n```\n")
    with pytest.raises(ValueError, match=r"page\.md:2: <!-- compile onyl -->"):
        choose(block)


def test_a_program_that_fails_fails_with_the_line_of_its_page() -> None:
    block = Block(ROOT / "page.md", 7, "python", "", "async def main(node):\n    raise KeyError('x')\n")
    with pytest.raises(KeyError) as caught:
        run_python(block, "")
    last = caught.traceback[-1]
    assert (str(block), 9) == (str(last.path), last.lineno + 1)


def test_a_test_module_that_fails_fails(tmp_path: Path) -> None:
    good = Block(ROOT / "page.md", 9, "python", "", "async def test_it():\n    pass\n")
    block = Block(ROOT / "page.md", 1, "python", "", "async def test_it():\n    assert 1 == 2\n")
    with pytest.raises(AssertionError, match="assert 1 == 2"):
        run_tests([block, good], tmp_path)


def test_the_readme_has_two_commands_and_ci_runs_the_second() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^```console\n(.*)\n```$", text, re.MULTILINE)
    path = re.fullmatch(r"python3 -m venv .*/trionet up (\S+)", first)
    assert path is not None
    assert (ROOT / path[1]).is_file()
    assert second == (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1]
