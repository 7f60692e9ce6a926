"""Finding the classes that a configuration names.

Duty: from ``[[services]]`` to specifications that can be started; all problems are told at once.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable

import attrs

from trionet.config import thaw
from trionet.configfile import ServiceConfig, did_you_mean
from trionet.errors import ConfigError
from trionet.kernel.service import Service
from trionet.kernel.spec import Spec, spec


@attrs.frozen
class Planned:
    """A service that is to be started.

    Args:
        config: what the configuration says of it.
        spec: its class and arguments.
    """

    config: ServiceConfig
    spec: Spec[Service]


class _NotFound(Exception):
    """Why a class cannot be used, as the end of a line."""


def plan(services: Iterable[ServiceConfig]) -> list[Planned]:
    """Import the class of each service and check its arguments.

    Raises:
        ConfigError: with every problem, if there is one.
    """
    planned: list[Planned] = []
    problems: list[str] = []
    for each in services:
        try:
            planned.append(Planned(each, _spec(each)))
        except _NotFound as problem:
            problems.append(f"{each.origin}: {each.key}.class: {problem}")
        except TypeError as problem:
            problems.append(
                f"{each.origin}: {each.key}: found a class or arguments that do not fit: {problem}"
            )
    if problems:
        raise ConfigError(problems)
    return planned


def _spec(service: ServiceConfig) -> Spec[Service]:
    cls = find_class(service.class_name)
    return spec(cls, *thaw(service.args), **thaw(service.kwargs))


def find_class(class_name: str) -> type[Service]:
    """Import ``package.module:Class``.

    Raises:
        _NotFound: if there is no such module, importing it failed, it has no such attribute, or that is
            no service class.
    """
    module_name, _, qualname = class_name.partition(":")
    found: object = _module(class_name, module_name)
    where = f'the module "{module_name}"'
    for name in qualname.split("."):
        if not hasattr(found, name):
            classes = [key for key, each in vars(found).items() if isinstance(each, type)]
            raise _NotFound(f'found "{class_name}", but {where} has no "{name}"{did_you_mean(name, classes)}')
        found = getattr(found, name)
        where = f'"{name}"'
    if not isinstance(found, type):
        raise _NotFound(f'found "{class_name}", which is {type(found).__name__}, expected a class')
    if not issubclass(found, Service):
        raise _NotFound(f'found "{class_name}", which does not derive from trionet.Service')
    return found


def _module(class_name: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise _NotFound(f'found "{class_name}", but there is no module "{error.name}"') from None
        raise _NotFound(f'found "{class_name}", but importing it failed: {_brief(error)}') from None
    except (Exception, SystemExit) as error:
        raise _NotFound(f'found "{class_name}", but importing it failed: {_brief(error)}') from None


def _brief(error: BaseException) -> str:
    """An exception in one line, with the place where it was raised."""
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if isinstance(error, SyntaxError):
        return f"{text} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    inner = [each for each in frames if "importlib" not in each.filename]
    return f"{text} ({inner[-1].filename}:{inner[-1].lineno})" if len(inner) > 1 else text
