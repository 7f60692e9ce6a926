"""Service classes by name, for configurations, the console and other nodes.

Duty: from ``package.module:Class`` to the class.  It imports what it is told, so whoever hands it a name that
comes from a network has to ask first whether that name is allowed.
"""

from __future__ import annotations

import importlib
import re
import traceback
from typing import Any, Final

from trionet.errors import NoSuchClass, did_you_mean
from trionet.kernel.service import Service
from trionet.message import value

#: What the name of a class looks like.
CLASS_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

value(name="trionet.NoSuchClass")(NoSuchClass)


def find_class(class_name: str) -> type[Any]:
    """Import a service class by name: ``spec(find_class("game.rooms:Room"), 3)``.

    The module is imported if it is not yet; that holds up the node, as any import does.

    Args:
        class_name: as ``package.module:Class``.

    Raises:
        NoSuchClass: if there is no such module, importing it failed, it has no such attribute, or that is
            no service class.
    """
    if CLASS_NAME.fullmatch(class_name) is None:
        raise NoSuchClass(class_name, 'expected a class as in "package.module:Class"')
    module_name, _, qualname = class_name.partition(":")
    found: object = _module(class_name, module_name)
    where = f'the module "{module_name}"'
    for name in qualname.split("."):
        if not hasattr(found, name):
            classes = [key for key, each in vars(found).items() if isinstance(each, type)]
            raise NoSuchClass(class_name, f'{where} has no "{name}"{did_you_mean(name, classes)}')
        found = getattr(found, name)
        where = f'"{name}"'
    if not isinstance(found, type):
        raise NoSuchClass(class_name, f"it is of type {type(found).__name__}, expected a class")
    if not issubclass(found, Service):
        raise NoSuchClass(class_name, "it does not derive from trionet.Service")
    return found


def _module(class_name: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise NoSuchClass(class_name, f'there is no module "{error.name}"') from None
        raise NoSuchClass(class_name, f"importing it failed: {_brief(error)}") from None
    except (Exception, SystemExit) as error:
        raise NoSuchClass(class_name, f"importing it failed: {_brief(error)}") from None


def _brief(error: BaseException) -> str:
    """An exception in one line, with the place where it was raised."""
    text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    if isinstance(error, SyntaxError):
        return f"{text} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    inner = [each for each in frames if "importlib" not in each.filename]
    return f"{text} ({inner[-1].filename}:{inner[-1].lineno})" if len(inner) > 1 else text
