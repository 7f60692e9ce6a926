"""What commands and streams have in common: a method of a service that others may use, by its name.

Duty: the checks of a declared method, and its signature as callers see it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Final

from trionet.config import seconds

_DEADLINE: Final = seconds()


class Declaration:
    """A declared method of a service class.

    Attributes:
        name: the name that messages carry.
        label: class and name, as in "Greeter.greet"; a call that is never awaited is warned of by it.
        function: what the dispatcher calls with the instance and the arguments.
        shielded: whether the handler runs on when its caller goes away.
        deadline: default deadline in seconds, or None for the node's.
        abstract: whether it is declared for an interface, without a body.
        endless: whether its handlers end at once when their service stops in order.
        is_async: whether the function gives a coroutine.
        in_place: whether the handler may begin before its sender goes on, if its service is idle.
    """

    #: The decorator, for error texts.
    kind: ClassVar[str]
    is_stream: ClassVar[bool] = False
    endless: bool = False
    in_place: bool = False
    name: str
    label: str
    function: Callable[..., Any]
    shielded: bool
    deadline: float | None
    abstract: bool
    is_async: bool

    def declare(self, function: Callable[..., Any], deadline: float | None) -> None:
        """Check the method, and take over what it says of itself.

        Raises:
            TypeError: if it is no plain function with a first parameter, or private by its name.
            ValueError: if the deadline is no number of seconds above 0.
        """
        if not inspect.isfunction(function):
            raise TypeError(f"{self.kind} is for functions that are methods of a service, not {function!r}")
        if function.__name__.startswith("_"):
            raise TypeError(f"{function.__qualname__} is private by its name; {self.kind} is for public ones")
        code = function.__code__
        if not code.co_argcount and not code.co_flags & inspect.CO_VARARGS:
            raise TypeError(f"{function.__qualname__} has no `self`; {self.kind} is for methods of a service")
        if deadline is not None:
            _DEADLINE.check(f"deadline of {function.__qualname__}", deadline)
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.name = function.__name__
        self.label = function.__qualname__.rpartition("<locals>.")[2]
        self.deadline = deadline
        self.abstract = getattr(function, "__isabstractmethod__", False)

    def __repr__(self) -> str:
        return f"<{self.kind[1:]} {self.__wrapped__.__qualname__}>"

    def signature_text(self) -> str:
        """The signature as a caller sees it, for error texts."""
        parameters = list(inspect.signature(self.__wrapped__).parameters.values())[1:]
        return f"{self.name}{inspect.Signature([_unquoted(each) for each in parameters])}"


class _Bare(str):
    """An annotation that was never evaluated, to be printed as it was written."""

    __slots__ = ()
    __repr__ = str.__str__


def _unquoted(parameter: inspect.Parameter) -> inspect.Parameter:
    written = parameter.annotation
    return parameter.replace(annotation=_Bare(written)) if isinstance(written, str) else parameter
