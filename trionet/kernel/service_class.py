"""What the definition of a service class says, and what is refused in it.

Duty: read the class options, collect the commands, and check what an author overrides.  A mistake is told
when the class is defined, not when the first service of it starts.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs
from attrs import field
from attrs.validators import optional

from trionet.config import count, one_of, seconds
from trionet.errors import did_you_mean
from trionet.kernel.declaration import Declaration

#: What an author may override and the kernel awaits, and what it does not await.
_AWAITED: Final = ("setup", "teardown", "child_failed", "name_lost")
_NOT_AWAITED: Final = ("debug_info",)


@attrs.frozen
class ServiceOptions:
    """What a service class chooses for its instances; None takes the node's setting.

    Args:
        concurrency: handlers that may run at a time; 1 handles one message after another.
        inbox: messages that its inbox holds.
        overflow: what happens to a message that finds no room: ``"wait"``, or ``"reject"`` with
            :exc:`~trionet.ServiceBusy`.
        deadline: seconds that a call may take where the caller has no deadline.
    """

    concurrency: int | None = field(default=None, validator=optional(count("handlers")))
    inbox: int | None = field(default=None, validator=optional(count("messages")))
    overflow: Literal["wait", "reject"] = field(default="wait", validator=one_of(("wait", "reject")))
    deadline: float | None = field(default=None, validator=optional(seconds()))


def chosen_options(cls: type, inherited: ServiceOptions, given: Mapping[str, Any]) -> ServiceOptions:
    """The options of a class: those that its statement gives, the others as inherited.

    Raises:
        ValueError: if one breaks its rule.
    """
    try:
        return attrs.evolve(inherited, **{name: each for name, each in given.items() if each is not None})
    except ValueError as error:
        raise ValueError(f"class option of {cls.__qualname__}: {error}") from None


def no_such_option(cls: type, names: Mapping[str, Any], error: TypeError) -> TypeError:
    """What to raise for keywords of the class statement that nobody took."""
    known = [each.name for each in attrs.fields(ServiceOptions)]
    return TypeError(
        f"class {cls.__qualname__} has an option that nobody knows: {', '.join(names)} ({error}); "
        f"those of a service are {', '.join(known)}{did_you_mean(next(iter(names)), known)}"
    )


def collect_commands(cls: type, service: type) -> dict[str, Declaration]:
    """The commands and streams of a class and its bases, by name.

    Args:
        cls: the class that is being defined.
        service: :class:`trionet.Service`.

    Raises:
        TypeError: if one hides a part of Service, is hidden by what is none, or has a second name.
    """
    found: dict[str, Declaration] = {}
    for base in reversed(cls.__mro__):
        for name, each in vars(base).items():
            where = f"{base.__qualname__}.{name}"
            if not isinstance(each, Declaration):
                if name in found:
                    raise TypeError(f"{where} overrides {_what(found[name])}, but is not declared as one")
                continue
            if name in vars(service):
                raise TypeError(f"{where} is {_what(each)}, but hides Service.{name}")
            if name in found and found[name].is_stream is not each.is_stream:
                raise TypeError(f"{where} is {_what(each)}, but overrides {_what(found[name])}")
            if name != each.name:
                raise TypeError(
                    f"{where} is {_what(each)} whose function is named {each.name!r}; "
                    "messages carry that name, so both must be the same"
                )
            found[name] = each
    return found


def _what(declaration: Declaration) -> str:
    return "a stream" if declaration.is_stream else "a command"


def check_overrides(cls: type) -> None:
    """See that what the kernel awaits can be awaited, and nothing else is a coroutine.

    Raises:
        TypeError: if ``setup``, ``teardown``, ``child_failed`` or ``name_lost`` is no ``async def``, or
            ``__init__`` or ``debug_info`` is one.
    """
    for name in _AWAITED + _NOT_AWAITED:
        function = inspect.getattr_static(cls, name)
        where = f"{cls.__qualname__}.{name}"
        if not callable(function) and not hasattr(function, "__get__"):
            kind = type(function).__name__
            raise TypeError(f"{where} is of type {kind}, but hides the method Service.{name}")
        if not inspect.isfunction(function):
            continue
        is_coroutine = inspect.iscoroutinefunction(inspect.unwrap(function))
        if name in _AWAITED and not is_coroutine:
            is_generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
            kind = "a generator" if is_generator else "a plain function"
            raise TypeError(f"{where} is {kind}, expected `async def {name}`: it is awaited")
        if name in _NOT_AWAITED and is_coroutine:
            raise TypeError(f"{where} is `async def`, expected a plain function: it is not awaited")
    if inspect.iscoroutinefunction(inspect.getattr_static(cls, "__init__")):
        where = f"{cls.__qualname__}.__init__"
        raise TypeError(f"{where} is `async def`, but cannot wait; what waits belongs into `async def setup`")
