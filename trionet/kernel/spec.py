"""A specification: which service to start, and with which arguments (typed)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Generic, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import attrs

from trionet.kernel.service import Service

P = ParamSpec("P")
S = TypeVar("S", bound=Service)
S_co = TypeVar("S_co", bound=Service, covariant=True)

#: Constructors of classes that were started: to read one takes longer than to start a service.
_SIGNATURES: Final[WeakKeyDictionary[type, inspect.Signature]] = WeakKeyDictionary()


@attrs.frozen
class Spec(Generic[S_co]):
    """A service class and the arguments of its constructor; made by :func:`spec`."""

    cls: type[S_co]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.cls.__module__}:{self.cls.__qualname__}"


def spec(cls: Callable[P, S], /, *args: P.args, **kwargs: P.kwargs) -> Spec[S]:
    """Say which service to start, without starting it; a type checker checks the arguments.

    The arguments are handed to the constructor as they are: a start on this node is no message.

    Raises:
        TypeError: if ``cls`` is no service class, is an interface with commands that have no body, or
            the arguments do not fit its constructor.
    """
    if not isinstance(cls, type) or not issubclass(cls, Service):
        raise TypeError(f"{cls!r} is no class that derives from trionet.Service")
    signature = _SIGNATURES.get(cls)
    if signature is None:
        signature = _SIGNATURES[cls] = _constructor(cls)
    if not (args or kwargs or signature.parameters):
        return Spec(cls, args, kwargs)  # type: ignore[arg-type]  # a class that makes S is a type[S]
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{cls.__qualname__}{signature}: {error}") from None
    return Spec(cls, args, kwargs)  # type: ignore[arg-type]  # a class that makes S is a type[S]


def _constructor(cls: type[Service]) -> inspect.Signature:
    """The signature of the constructor, of a class that can be started."""
    bare = sorted(name for name, command in cls.__trionet_commands__.items() if command.abstract)
    if bare:
        raise TypeError(f"{cls.__qualname__} is an interface: {', '.join(bare)} has no body")
    return inspect.signature(cls)


def as_spec(what: Spec[S] | Callable[[], S]) -> Spec[S]:
    """Turn what ``start`` takes into a specification.

    Raises:
        TypeError: as :func:`spec` does.
    """
    return what if isinstance(what, Spec) else spec(what)
