"""Configuration: every number of trionet, with its name, unit and default.

Duty: frozen settings and the rules each value must keep.  Where they come from (files, environment,
command line) is the duty of :mod:`trionet.configfile`.
May import: the standard library, attrs and the other values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import attrs
from attrs import field

from trionet.message import Limits

LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS: Final = ("text", "json")
_NODE_NAME: Final = re.compile(r"[\w.-]{1,64}")
_CLASS_PATTERN: Final = re.compile(r"[\w.*]+:[\w.*]+")


@attrs.frozen(kw_only=True)
class Rule:
    """What a setting must be; the validator of its field.

    Args:
        expected: the rule, for people, as it ends the sentence "found ..., expected ...".
        accepts: tells whether a value keeps the rule; it never raises.
        read: makes a value of the text of an environment variable or a command line option; raises
            ValueError where the text is no such value.
        unit: the unit of a number, for the docs and for ``trionet check``.
        choices: all values, where they are few.
        member: the rule of each value of a table whose keys are free.
    """

    expected: str
    accepts: Callable[[Any], bool]
    read: Callable[[str], Any] = str
    unit: str = ""
    choices: tuple[str, ...] = ()
    member: Rule | None = None

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        """Refuse a value of a field; as :meth:`check`."""
        self.check(attribute.name, value)

    def check(self, what: str, value: object) -> None:
        """Refuse a value that breaks the rule.

        Raises:
            ValueError: if it does; the text begins with what it is.
        """
        if not self.accepts(value):
            raise ValueError(f"{what}: found {value!r}, expected {self.expected}")


def seconds(*, zero: bool = False) -> Rule:
    """A length of time in seconds, ``inf`` included; more than 0, or also 0."""

    def accepts(value: Any) -> bool:
        return type(value) in (int, float) and (value >= 0 if zero else value > 0)

    least = "0 or more" if zero else "more than 0"
    return Rule(expected=f"a number of seconds, {least}", accepts=accepts, read=float, unit="s")


def count(unit: str, *, least: int = 1) -> Rule:
    """A whole number of something."""

    def accepts(value: Any) -> bool:
        return type(value) is int and value >= least

    return Rule(expected=f"a whole number of {unit}, {least} or more", accepts=accepts, read=int, unit=unit)


def _read_flag(text: str) -> bool:
    known = {"true": True, "false": False}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither true nor false")
    return known[text.lower()]


#: Yes or no.
flag: Final = Rule(expected="true or false", accepts=lambda value: type(value) is bool, read=_read_flag)


def one_of(choices: tuple[str, ...]) -> Rule:
    """One of a few words."""
    return Rule(
        expected="one of " + ", ".join(f'"{each}"' for each in choices),
        accepts=lambda value: isinstance(value, str) and value in choices,
        choices=choices,
    )


def table_of(member: Rule, keys: str) -> Rule:
    """A table with free keys whose values all keep one rule."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        return all(isinstance(key, str) and member.accepts(each) for key, each in value.items())

    return Rule(expected=f"a table: {keys}, each with {member.expected}", accepts=accepts, member=member)


def share() -> Rule:
    """A part of a whole, from 0 for nothing to 1 for all."""

    def accepts(value: Any) -> bool:
        return type(value) in (int, float) and 0 <= value <= 1

    return Rule(expected="a number from 0 to 1", accepts=accepts, read=float)


def _is_node_name(value: Any) -> bool:
    return isinstance(value, str) and _NODE_NAME.fullmatch(value) is not None


def _are_patterns(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, str) and _CLASS_PATTERN.fullmatch(each) is not None for each in value
    )


_patterns: Final = Rule(
    expected='an array of classes as in "package.module:Class", where * stands for any text',
    accepts=_are_patterns,
    read=lambda text: tuple(text.split()),
)
_name: Final = Rule(
    expected="a name of 1 to 64 letters, digits, dots, hyphens or underscores", accepts=_is_node_name
)
_free_table: Final = Rule(expected="a table with any keys", accepts=lambda value: isinstance(value, Mapping))


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _frozen_levels(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return MappingProxyType({key: _upper(each) for key, each in value.items()})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _frozen_table(value: Any) -> Any:
    return freeze(value) if isinstance(value, Mapping) else value


def freeze(value: Any) -> Any:
    """Return a deeply immutable copy: tables become read-only mappings, arrays tuples."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(each) for key, each in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(each) for each in value)
    return value


@attrs.frozen(kw_only=True)
class TraceConfig:
    """What a node records of call chains.

    Args:
        sample: the share of the chains beginning on this node that are recorded, wherever they lead to.
        record: whether the node records its part of chains that began on other nodes, also where ``sample``
            is 0.
        spans: handlers that have ended of which the node keeps a record.
    """

    sample: float = field(default=0.0, validator=share())
    record: bool = field(default=False, validator=flag)
    spans: int = field(default=10_000, validator=count("spans"))

    @property
    def records(self) -> bool:
        """Whether the node records anything."""
        return self.record or self.sample > 0


@attrs.frozen(kw_only=True)
class NodeConfig:
    """The settings of one node.

    Args:
        name: the node's name in logs.
        call_deadline: seconds after which a call fails whose caller has no deadline of its own.
        start_deadline: seconds that the ``setup`` of a service may take.
        stop_grace: seconds that running handlers and ``teardown`` may take when a service stops.
        stall_threshold: seconds that a handler may hold the event loop before it is reported.
        inbox: messages that an inbox holds before senders wait.
        concurrency: handlers of one service that may run at a time.
        message_size: weight of a message, in bytes, that is refused beyond.
        message_depth: containers that may be nested in a message.
        dead_letter_log_rate: dead letters that are logged, a second; the others are only counted.
        launch: the service classes that other nodes and the console may start on this one, as
            ``package.module:Class``, where ``*`` stands for any text.
        direct_calls: whether a message to an idle service may be handled before its sender goes on: to the
            end by a plain function, up to its first wait by a coroutine.
        profile: whether the node measures each command of each class of services.
        trace: what it records of call chains.
        app: the user's own settings: the table ``[app]`` of the configuration, deeply read-only.
    """

    name: str = field(default="node", validator=_name)
    call_deadline: float = field(default=60.0, validator=seconds())
    start_deadline: float = field(default=60.0, validator=seconds())
    stop_grace: float = field(default=10.0, validator=seconds(zero=True))
    stall_threshold: float = field(default=1.0, validator=seconds())
    inbox: int = field(default=10_000, validator=count("messages"))
    concurrency: int = field(default=1_000, validator=count("handlers"))
    message_size: int = field(default=16 * 1024 * 1024, validator=count("bytes"))
    message_depth: int = field(default=64, validator=count("containers"))
    dead_letter_log_rate: int = field(default=10, validator=count("lines a second"))
    launch: tuple[str, ...] = field(default=(), converter=_tuple, validator=_patterns)
    direct_calls: bool = field(default=True, validator=flag)
    profile: bool = field(default=False, validator=flag)
    trace: TraceConfig = field(factory=TraceConfig)
    app: Mapping[str, Any] = field(
        factory=dict, converter=_frozen_table, validator=_free_table, hash=False, repr=False
    )

    @property
    def limits(self) -> Limits:
        """How large a message may be."""
        return Limits(self.message_size, self.message_depth)


@attrs.frozen(kw_only=True)
class LogConfig:
    """How a process logs.

    Args:
        level: the least level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case.
        format: ``"text"``, lines for people, or ``"json"``, one object a line.
        levels: the least level of single loggers and those below them, by logger name.
    """

    level: str = field(default="INFO", converter=_upper, validator=one_of(LOG_LEVELS))
    format: Literal["text", "json"] = field(default="text", validator=one_of(LOG_FORMATS))
    levels: Mapping[str, str] = field(
        factory=dict,
        converter=_frozen_levels,
        validator=table_of(one_of(LOG_LEVELS), "logger names"),
        hash=False,
    )


def thaw(value: Any) -> Any:
    """Return a copy of what :func:`freeze` made, in plain dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [thaw(each) for each in value]
    return value
