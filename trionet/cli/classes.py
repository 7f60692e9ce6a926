"""Finding the classes that a configuration names.

Duty: from ``[[services]]`` to specifications that can be started; all problems are told at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from trionet.config import thaw
from trionet.configfile import ServiceConfig, Settings
from trionet.errors import ConfigError, NoSuchClass
from trionet.kernel.classes import find_class
from trionet.kernel.service import Service
from trionet.kernel.spec import Spec, spec

#: By its name, since it needs an extra.
METRICS_SERVER: Final = "trionet.services.metrics:MetricsServer"


@attrs.frozen
class Planned:
    """A service that is to be started.

    Args:
        config: what the configuration says of it.
        spec: its class and arguments.
    """

    config: ServiceConfig
    spec: Spec[Service]


def services_of(settings: Settings) -> tuple[ServiceConfig, ...]:
    """The services that settings ask for: that of ``[metrics]``, if any, before those of ``[[services]]``."""
    address = settings.metrics.address
    if address is None:
        return settings.services
    key = "metrics.address"
    metrics = ServiceConfig(
        class_name=METRICS_SERVER,
        name=".metrics",
        args=(address,),
        origin=settings.sources.get(key, ""),
        key=key,
    )
    return metrics, *settings.services


def plan(services: Iterable[ServiceConfig]) -> list[Planned]:
    """Import the class of each service and check its arguments.

    Raises:
        ConfigError: with every problem, if there is one.
    """
    planned: list[Planned] = []
    problems: list[str] = []
    for each in services:
        try:
            cls = find_class(each.class_name)
            planned.append(Planned(each, spec(cls, *thaw(each.args), **thaw(each.kwargs))))
        except NoSuchClass as error:
            problems.append(
                f'{each.origin}: {each.key}.class: found "{each.class_name}", but {error.problem}'
            )
        except TypeError as problem:
            problems.append(
                f"{each.origin}: {each.key}: found a class or arguments that do not fit: {problem}"
            )
    if problems:
        raise ConfigError(problems)
    return planned
