"""Logging: what each record says, in both formats."""

from __future__ import annotations

import io
import json
import logging
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from trionet.config import LogConfig
from trionet.logs import JsonFormatter, ServiceFilter, TextFormatter, setup_logging

LABEL = (":00000007", ".greeter", "00000000000000ff")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the logging of the process as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    for name in ("tests.logs", "tests.logs.loud"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def set_up(**config: Any) -> io.StringIO:
    stream = io.StringIO()
    setup_logging(LogConfig(**config), owner=lambda: LABEL, node="world", stream=stream)
    return stream


log = logging.getLogger("tests.logs")


def test_a_line_of_text_tells_time_level_service_chain_logger_message() -> None:
    stream = set_up()
    log.warning("%d left", 3)
    time, line = stream.getvalue()[:23], stream.getvalue()[23:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", time)
    assert line == " WARNING  :00000007 .greeter [00000000000000ff] tests.logs: 3 left\n"


def test_outside_of_services_a_dash_stands_for_the_service() -> None:
    stream = io.StringIO()
    setup_logging(stream=stream)
    log.info("hello")
    assert stream.getvalue().endswith(" INFO     - tests.logs: hello\n")


def test_a_service_that_the_record_names_itself_stays() -> None:
    stream = set_up(format="json")
    log.info("hello", extra={"service": ":00000009"})
    line = json.loads(stream.getvalue())
    assert (":00000009", False) == (line["service"], "service_name" in line)


def test_a_traceback_follows_the_line_of_text() -> None:
    stream = set_up()
    fail_and_log()
    first, second, *_, last = stream.getvalue().splitlines()
    assert first.endswith("tests.logs: failed")
    assert ("Traceback (most recent call last):", "KeyError: 'x'") == (second, last)


def fail_and_log() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("failed")


def test_a_line_of_json_has_all_there_is_to_say() -> None:
    stream = set_up(format="json")
    log.warning("%d\nleft", 3, extra={"room": {"id": 4}, "odd": object})
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert {
        "level": "WARNING",
        "logger": "tests.logs",
        "message": "3\nleft",
        "node": "world",
        "service": ":00000007",
        "service_name": ".greeter",
        "trace": "00000000000000ff",
        "room": {"id": 4},
        "odd": "<class 'object'>",
    } == line


def test_a_line_of_json_has_exceptions_and_stacks_as_text() -> None:
    stream = set_up(format="json")
    fail_and_log()
    log.info("here", stack_info=True)
    failed, here = map(json.loads, stream.getvalue().splitlines())
    assert failed["exception"].startswith("Traceback (most recent call last):\n")
    assert failed["exception"].endswith("KeyError: 'x'")
    assert here["stack"].startswith("Stack (most recent call last):\n")


def test_a_record_that_was_formatted_before_keeps_its_exception() -> None:
    record = logging.makeLogRecord({"msg": "m", "exc_text": "KeyError: 'x'"})
    assert "KeyError: 'x'" == json.loads(JsonFormatter().format(record))["exception"]


@pytest.mark.parametrize("extra", [math.nan, {1: {2: math.inf}}, {(1, 2): 3}, "\ud800"])
def test_json_stays_json_whatever_a_record_holds(extra: Any) -> None:
    stream = set_up(format="json")
    circle: list[Any] = [extra]
    circle.append(circle)
    for each in (extra, circle):
        log.info("hello", extra={"odd": each})
    for text in stream.getvalue().splitlines():
        line = json.loads(text, parse_constant=pytest.fail)
        assert "hello" == line["message"]
        assert "odd" in line


def test_levels_are_those_of_the_settings() -> None:
    stream = set_up(level="error", levels={"tests.logs.loud": "debug"})
    log.warning("one")
    log.error("two")
    logging.getLogger("tests.logs.loud").debug("three")
    assert ["two", "three"] == [each.rsplit(": ")[-1] for each in stream.getvalue().splitlines()]


def test_a_second_setup_replaces_the_first_and_nothing_else() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = set_up(), set_up()
    log.info("hello")
    assert ("", 1) == (first.getvalue(), second.getvalue().count("hello"))
    assert other in logging.getLogger().handlers


def test_warnings_are_logged() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        stream = set_up(format="json")
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "py.warnings" == json.loads(stream.getvalue())["logger"]


def test_the_filter_serves_other_handlers_too() -> None:
    record = logging.makeLogRecord({"msg": "m"})
    assert ServiceFilter(lambda: LABEL).filter(record)
    assert LABEL == (record.service, record.service_name, record.trace)  # type: ignore[attr-defined]
    assert ServiceFilter().filter(record)
    assert LABEL == (record.service, record.service_name, record.trace)  # type: ignore[attr-defined]


def test_the_text_formatter_takes_records_that_no_filter_saw() -> None:
    record = logging.makeLogRecord({"msg": "m", "name": "n", "levelname": "INFO", "created": 0.0})
    assert TextFormatter(datefmt="%Y").format(record)[4:] == " INFO     - n: m"
