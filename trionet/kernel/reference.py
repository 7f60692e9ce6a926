"""References: what one service holds of another (typed as that service or one of its interfaces).

Duty: the runtime side of a reference.  For a type checker a reference to a ``Greeter`` is a ``Greeter``;
at run time it is an instance of a class made for ``Greeter`` that has its commands and nothing else.
"""

from __future__ import annotations

from typing import Any, Final, Never, Protocol, Self, cast

from trionet.errors import did_you_mean
from trionet.handle import Handle
from trionet.kernel.command import BoundCommand, Command
from trionet.kernel.command import Messenger as CommandMessenger
from trionet.kernel.declaration import Declaration
from trionet.kernel.service import SERVICE_CLASSES, Service
from trionet.kernel.stream import Stream, StreamOptions
from trionet.kernel.stream_reader import StreamCall
from trionet.kernel.untyped import UntypedMethod
from trionet.message import register_reference_class


class Messenger(CommandMessenger, Protocol):
    """The node, as a reference needs it."""

    def call_stream(
        self,
        target: Handle | str,
        declared: str | Stream[Any, Any],
        options: StreamOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StreamCall[Any]:
        """Prepare to open a stream."""


class Reference:
    """A service to call and send to, bound to a handle or to a name.

    Bound to a name it finds the owner anew at each message, and so follows a restart.  References are
    values: they travel in messages, are hashable, and equal when they are bound to the same.
    """

    __slots__ = ("__dict__", "_node", "_target")

    __trionet_interface__: type | None = None
    _node: Messenger
    _target: Handle | str

    def __init__(self, node: Messenger, target: Handle | str) -> None:
        object.__setattr__(self, "_node", node)
        object.__setattr__(self, "_target", target)

    def __trionet_reference__(self) -> tuple[Handle | str, str | None]:
        """What it is bound to, and the name of its interface: all that travels of it."""
        interface = self.__trionet_interface__
        return self._target, None if interface is None else f"{interface.__module__}:{interface.__qualname__}"

    def __trionet_command__(self, command: Command[Any, Any]) -> BoundCommand[Any, Any]:
        """Give what a command is called and sent with, and keep it for the next time."""
        bound: BoundCommand[Any, Any] = BoundCommand(self._node, self._target, command)
        self.__dict__[command.name] = bound
        return bound

    def __trionet_stream__(
        self,
        declared: str | Stream[Any, Any],
        options: StreamOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> StreamCall[Any]:
        """Prepare to open a stream."""
        return self._node.call_stream(self._target, declared, options, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        interface = self.__trionet_interface__
        if name.startswith("_"):
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        if interface is None:
            return UntypedMethod(self, name)
        known = sorted(getattr(interface, "__trionet_commands__", ()))
        is_method = callable(getattr(interface, name, None)) and not hasattr(Service, name)
        why = (
            "it is a method without @command"
            if is_method
            else "a reference gives access to commands only, not to the state of the service"
        )
        raise AttributeError(
            f"{name!r} is no command of {interface.__qualname__} (commands: {', '.join(known)}); "
            f"{why}{did_you_mean(name, known)}"
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self!r} is a reference: its attributes cannot be set")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> Never:
        raise TypeError(
            f"{self!r} cannot be pickled: it belongs to its node; keep its name, or the handle that "
            "node.handle_of() gives"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        return self._target == other._target

    def __hash__(self) -> int:
        return hash(self._target)

    def __repr__(self) -> str:
        interface = self.__trionet_interface__
        return f"<reference {self._target}{'' if interface is None else ' ' + interface.__qualname__}>"


_CLASSES: Final[dict[type | None, type[Reference]]] = {None: Reference}
register_reference_class(Reference)


def make_reference(node: Messenger, target: Handle | str, interface: type | None) -> Any:
    """Make a reference that offers the commands of an interface, or any command for None."""
    cls = _CLASSES.get(interface)
    if cls is None:
        assert interface is not None
        cls = _CLASSES[interface] = _reference_class(interface)
    return cls(node, target)


def received_reference(node: Messenger, target: Handle | str, interface: str | None) -> Any:
    """Make a reference of what came of one: its target, and the name of its interface."""
    return make_reference(node, target, None if interface is None else SERVICE_CLASSES.get(interface))


def _reference_class(interface: type) -> type[Reference]:
    commands = cast("dict[str, Declaration]", interface.__dict__["__trionet_commands__"])
    body: dict[str, Any] = {
        **commands,
        "__slots__": (),
        "__doc__": f"A reference to a {interface.__qualname__}.",
        "__trionet_interface__": interface,
        "__class__": property(lambda _: interface),  # isinstance() agrees with the type checkers
    }
    cls = type(f"{interface.__name__}Reference", (Reference,), body)
    register_reference_class(cls)
    return cls


def target_of(item: Any) -> Handle | str:
    """What an address stands for: a reference's target, a handle, or the text of a name or handle.

    Raises:
        TypeError: if it is none of these.
    """
    if isinstance(item, Handle | str):
        return item
    if issubclass(type(item), Reference):
        return cast("Handle | str", item._target)
    raise TypeError(f"{item!r:.80} is no address: expected a reference, a handle, a name or ':hex'")
