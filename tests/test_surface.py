"""The public surface: what is exported, and that each name has types, a docstring and a place in the docs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FACADES = ["trionet", "trionet.services", "trionet.testing"]
#: Modules of extras: what they export has no other place.
EXTRAS = ["trionet.services.metrics", "trionet.services.otel"]
REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def public_names() -> Iterator[tuple[str, str, Any]]:
    """List what the facades export: the module, the name, the object."""
    for facade in [*FACADES, *EXTRAS]:
        module = importlib.import_module(facade)
        for name in module.__all__:
            yield facade, name, getattr(module, name)


def public_things() -> Iterator[tuple[str, Any]]:
    """List the public classes and functions, and the public methods and properties of these classes."""
    for facade, name, thing in public_names():
        if not callable(thing) or not hasattr(thing, "__module__"):
            continue
        yield f"{facade}.{name}", thing
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                inner = unwrap(value)
                if not member.startswith("_") and (inspect.isroutine(inner) or isinstance(inner, property)):
                    yield f"{facade}.{name}.{member}", inner


def unwrap(value: Any) -> Any:
    """Find the function behind a static method, a class method or a command."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value


def functions() -> Iterator[tuple[str, Any]]:
    """List the public functions and methods, and the getters of public properties."""
    for path, thing in public_things():
        function = thing.fget if isinstance(thing, property) else thing
        if inspect.isroutine(function):
            yield path, inspect.unwrap(function)


def is_async(function: Any) -> bool:
    """Tell whether using the function means to wait: it is one to await, or to enter or iterate with."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def raises_by_itself(function: Any) -> bool:
    """Tell whether the function's own code raises an exception, not counting what it raises anew."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def documented_names() -> set[str]:
    """Collect the names that the reference pages document."""
    found: set[str] = set()
    for page in REFERENCE.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        found.update(re.findall(r"^\s*\.\. auto(?!module)\w+:: ([\w.]+)", text, re.MULTILINE))
        for name in re.findall(r"^\s*\.\. automodule:: ([\w.]+)\n\s+:members:\s*$", text, re.MULTILINE):
            module = importlib.import_module(name)
            found.update(f"{name}.{each}" for each in module.__all__)
    return found


@pytest.mark.parametrize("facade", FACADES)
def test_all_is_complete(facade: str) -> None:
    """What a facade binds without an underscore is in ``__all__``, but for modules; nothing else is."""
    module = importlib.import_module(facade)
    bound = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    exported = list(module.__all__)
    assert sorted(set(exported)) == sorted(exported)
    assert bound == {name for name in exported if not name.startswith("_")}
    assert not [name for name in exported if not hasattr(module, name)]


def test_everything_is_exported_once() -> None:
    """Nothing has two public names, nor two facades."""
    counted = Counter(id(thing) for _, _, thing in public_names() if hasattr(thing, "__qualname__"))
    assert not [f"{facade}.{name}" for facade, name, thing in public_names() if counted[id(thing)] > 1]
    names = Counter(name for _, name, _ in public_names())
    assert not [name for name, count in names.items() if count > 1]


def test_everything_says_that_it_is_of_its_facade() -> None:
    """Texts and references show the public path of a name, never the file that it is written in."""
    wrong = {
        f"{facade}.{name}": thing.__module__
        for facade, name, thing in public_names()
        if hasattr(thing, "__qualname__") and thing.__module__ != facade
    }
    assert not wrong


def test_everything_has_a_docstring() -> None:
    """A docstring of a base class does not count."""
    assert not [path for path, thing in public_things() if not (thing.__doc__ or "").strip()]


def test_everything_has_types() -> None:
    """Each argument and each result is annotated."""
    bare = []
    for path, function in functions():
        parameters = [*inspect.signature(function).parameters.values()]
        if path.rpartition(".")[0] not in FACADES and parameters and parameters[0].name in {"self", "cls"}:
            del parameters[0]
        bare += [f"{path}({each.name})" for each in parameters if each.annotation is each.empty]
        if inspect.signature(function).return_annotation is inspect.Signature.empty:
            bare.append(f"{path} -> ?")
    assert not bare


def test_async_functions_say_what_cancellation_does() -> None:
    """The docstring of what is awaited speaks of cancellation."""
    assert not [
        path
        for path, function in functions()
        if is_async(function) and "cancel" not in (function.__doc__ or "").lower()
    ]


def test_async_functions_say_what_they_raise() -> None:
    """Where the code of what is awaited raises, the docstring says what and when."""
    assert not [
        path
        for path, function in functions()
        if is_async(function) and raises_by_itself(function) and "Raises:" not in (function.__doc__ or "")
    ]


def test_everything_stands_on_the_reference_pages() -> None:
    """Each public name is documented, and what is documented is public."""
    public = {f"{facade}.{name}" for facade, name, _ in public_names() if not name.startswith("_")}
    documented = {each for each in documented_names() if not each.rpartition(".")[2].startswith("_")}
    assert public - documented == set()
    assert {each for each in documented - public if each.rpartition(".")[0] in FACADES} == set()
