"""Loading a script: a file with ``async def main(node)``.

Duty: from a path to what the node shall run; what is wrong with the script is one line each.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from trionet.errors import ConfigError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def add_import_path(*folders: Path) -> None:
    """Let modules be imported from these folders, before all others and in this order."""
    for folder in reversed(folders):
        text = str(folder.resolve())
        if text in sys.path:
            sys.path.remove(text)
        sys.path.insert(0, text)


def load_script(path: Path) -> ModuleType:
    """Run a script as a module that is named like the file, and can be imported by that name.

    Raises:
        ConfigError: if there is no such file, it cannot be read, its name hides another module, or it has
            an error of syntax.
        BaseException: what the script raises.
    """
    if path.suffix == ".toml":
        _refuse(path, f"found a configuration, expected a script; trionet run --config {path} runs it")
    code = _compile(path, _read(path))
    name = path.stem
    hidden = sys.modules.get(name)
    if name in sys.stdlib_module_names or (hidden is not None and _file(hidden) != str(path.resolve())):
        _refuse(path, f'found a script that hides the module "{name}", expected another file name')
    loader = importlib.machinery.SourceFileLoader(name, str(path.resolve()))
    module_spec = importlib.util.spec_from_file_location(name, path.resolve(), loader=loader)
    assert module_spec is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    execute(code, module)
    return module


def execute(code: CodeType, module: ModuleType) -> None:
    """Run the code of a script."""
    exec(code, vars(module))


def main_of(
    path: Path, module: ModuleType, args: tuple[str, ...]
) -> tuple[Callable[..., Awaitable[object]], tuple[Any, ...]]:
    """Return ``main`` of a script, and what it takes besides the node.

    Args:
        path: the script, for messages.
        module: the script as a module.
        args: the arguments of the command line.

    Raises:
        ConfigError: if there is no ``main``, it is not async, or takes something else.
    """
    main = getattr(module, "main", None)
    if main is None:
        _refuse(path, "found no main, expected async def main(node)")
    if inspect.isasyncgenfunction(main):
        _refuse(path, "found a main with a yield in it, expected async def main(node)")
    if not inspect.iscoroutinefunction(main):
        what = "a main that is not async" if callable(main) else f"a main that is {type(main).__name__}"
        _refuse(path, f"found {what}, expected async def main(node)")
    signature = inspect.signature(main)
    parameters = signature.parameters.values()
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        extra: tuple[Any, ...] = args
    else:
        extra = (args,) if sum(each.kind in _POSITIONAL for each in parameters) > 1 else ()
    try:
        signature.bind(None, *extra)
    except TypeError:
        _refuse(path, f"found main{signature}, expected main(node) or main(node, args)")
    return main, extra


def _file(module: ModuleType) -> str | None:
    return getattr(module, "__file__", None)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _refuse(path, f"found no script that can be read: {(error.strerror or str(error)).lower()}")


def _compile(path: Path, source: bytes) -> CodeType:
    try:
        code: CodeType = compile(source, str(path.resolve()), "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else str(path)
        line = (error.text or "").strip()
        text = f": {line}" if line.isascii() and line.isprintable() and line else ""
        raise ConfigError([f"{where}: found no valid Python: {error.msg}{text}"]) from None
    except ValueError as error:
        _refuse(path, f"found no valid Python: {error}")
    return code


def _refuse(path: Path, problem: str) -> NoReturn:
    raise ConfigError([f"{path}: {problem}"]) from None


def below(error: BaseException, code: CodeType) -> BaseException:
    """Shorten a traceback to what is below a function, where it has it; return the error."""
    entry = error.__traceback__
    while entry is not None:
        if entry.tb_frame.f_code is code and entry.tb_next is not None:
            return error.with_traceback(entry.tb_next)
        entry = entry.tb_next
    return error
