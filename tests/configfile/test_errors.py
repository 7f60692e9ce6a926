"""Every way in which settings can be wrong, and the line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.writing import Write
from trionet.configfile import Override, load_settings
from trionet.errors import ConfigError


def problems(*files: str, overrides: tuple[str | Override, ...] = (), **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(files, environ=environ, overrides=overrides)
    return list(caught.value.problems)


TEN_MISTAKES = """\
[node]
name = "a b"
inbox = 0
call_dedline = 3
stop_grace = "long"
[log]
level = "debgu"
levels = { x = 5 }
[[services]]
name = ".x"
[[services]]
class = "no colon"
restart = "sometimes"
[clutser]
"""


def test_ten_mistakes_give_ten_lines(write: Write) -> None:
    levels = '"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"'
    found_name = 'found "a b", expected a name of 1 to 64 letters, digits, dots, hyphens or underscores'
    assert [
        'a.toml:14: clutser: unknown key; did you mean "cluster"?',
        f"a.toml:2: node.name: {found_name}",
        "a.toml:3: node.inbox: found 0, expected a whole number of messages, 1 or more",
        'a.toml:4: node.call_dedline: unknown key; did you mean "call_deadline"?',
        'a.toml:5: node.stop_grace: found "long", expected a number of seconds, 0 or more',
        f'a.toml:7: log.level: found "debgu", expected one of {levels}; did you mean "DEBUG"?',
        f"a.toml:8: log.levels.x: found 5, expected one of {levels}",
        'a.toml:9: services[0].class: found nothing, expected a class as in "package.module:Class"',
        'a.toml:13: services[1].restart: found "sometimes", expected "never", "failure", "always" or a table',
        'a.toml:12: services[1].class: found "no colon", expected a class as in "package.module:Class"',
    ] == problems(write("a.toml", TEN_MISTAKES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node = 5", "a.toml:1: node: found 5, expected a table"),
        ("[[node]]\nname = 'x'", "a.toml:1: node: found an array, expected a table"),
        ("app = 5", "a.toml:1: app: found 5, expected a table"),
        ("services = 5", "a.toml:1: services: found 5, expected an array of tables"),
        ("[services]\nx = 5", "a.toml:1: services: found a table, expected an array of tables"),
        ("nodes = 5", "a.toml:1: nodes: found 5, expected tables [nodes.NAME]"),
        ("[node]\nname = true", "a.toml:2: node.name: found true, expected a name of"),
        ("[node]\ninbox = 1.5", "a.toml:2: node.inbox: found 1.5, expected a whole number"),
        ("[node]\ninbox = {a = 1}", "a.toml:2: node.inbox: found a table, expected a whole number"),
        ("[node]\napp = {a = 1}", "a.toml:2: node.app: unknown key"),
        ("[node]\n[node.name]", "a.toml:2: node.name: found a table, expected a name"),
        (
            "[node]\nstall_threshold = nan",
            "a.toml:2: node.stall_threshold: found nan, expected a number of seconds",
        ),
        (
            "[log]\nlevels = 5",
            "a.toml:2: log.levels: found 5, expected a table: logger names, each with one of",
        ),
        ("[log.levels]\na.b = 5", "a.toml:2: log.levels.a.b: found 5, expected one of"),
        (
            "[[services]]\nclass = 'm:C'\nname = 'a b'",
            'a.toml:3: services[0].name: found "a b", expected a name',
        ),
        ("[[services]]\nclass = 'm:C'\nargs = 5", "a.toml:3: services[0].args: found 5, expected an array"),
        (
            "[[services]]\nclass = 'm:C'\nkwargs = []",
            "a.toml:3: services[0].kwargs: found an array, expected a table",
        ),
        (
            "[[services]]\nclass = 'm:C'\nrestart = 5",
            'a.toml:3: services[0].restart: found 5, expected "never", ',
        ),
        (
            "[[services]]\nclass = 'm:C'\nrestart = 'allways'",
            'a.toml:3: services[0].restart: found "allways", expected "never", "failure", "always" or',
        ),
        (
            "[[services]]\nclass = 'm:C'\nrestart = {mots = 3}",
            'a.toml:3: services[0].restart.mots: unknown key; did you mean "most"?',
        ),
        (
            "[[services]]\nclass = 'm:C'\nrestart = {most = -3}",
            "a.toml:3: services[0].restart.most: found -3, expected a whole number of restarts, 0 or more",
        ),
        (
            "[[services]]\nclass = 'm:C'\nclas = 'x'",
            'a.toml:3: services[0].clas: unknown key; did you mean "class"?',
        ),
        (
            "[[services]]\nclass = 'm:C'\nname = '.x'\n[[services]]\nclass = 'm:C'\nname = '.x'",
            'a.toml:4: services[1].name: found ".x", which the service at a.toml:1 has; expected another',
        ),
        ("include = 5", "a.toml:1: include: found 5, expected a path or an array of paths"),
        ("include = ['']", "a.toml:1: include: found an array, expected a path or an array of paths"),
        (
            "include = 'none.toml'",
            'a.toml:1: include: found "none.toml", expected a file that can be read: no such',
        ),
        (
            "env_file = 'none.env'",
            'a.toml:1: env_file: found "none.env", expected a file that can be read: no such',
        ),
        ("include = '.'", 'a.toml:1: include: found ".", expected a file that can be read: is a directory'),
        ("include = '\\u0000'", "a.toml:1: include: found "),
        (
            "include = '${NO}'",
            "a.toml:1: include: found ${NO}, which is not set, expected a set variable or ${NO:-",
        ),
        (
            "\n[app]\nx = '${NO}'",
            "a.toml:3: app.x: found ${NO}, which is not set, expected a set variable or ${NO:-",
        ),
        ("[app]\nx = 'a ${b c} d'", "a.toml:2: app.x: found '${b c}', expected ${VAR} or ${VAR:-default}"),
        ("[app]\nx = ['${A']", "a.toml:2: app.x: found '${A', expected ${VAR} or ${VAR:-default}"),
        ("[[services]]\nclass = '${NO}'", "a.toml:2: services[0].class: found ${NO}, which is not set"),
        (
            "[[services]]\nclass = 'm:C'\nrestart = '${NO}'",
            "a.toml:3: services[0].restart: found ${NO}, which",
        ),
        ("[node]\nname = 'x'\n\nname = 'y'", "a.toml:4: found no valid TOML: Cannot overwrite a value"),
        ("[node]\nname = ", "a.toml:2: found no valid TOML: Invalid value"),
        ("x = '''\n", "a.toml:1: found no valid TOML: "),
        ("x = " + "[" * 5000, "a.toml: found TOML that is nested too deeply to be read"),
    ],
)
def test_each_mistake_in_a_file_is_one_line(write: Write, text: str, expected: str) -> None:
    (problem,) = problems(write("a.toml", text))
    assert problem.startswith(expected)


def test_the_line_is_right_after_strings_and_arrays_of_many_lines(write: Write) -> None:
    app = '[app]\na = """\n[node]\ninbox = 0\n"""\nb = [\n  "x",\n  "y"\n]\n# inbox = 0\n'
    text = app + '[node]\n"inbox" = 0 # here\n'
    (problem,) = problems(write("a.toml", text))
    assert problem.startswith("a.toml:12: node.inbox: ")


def test_a_circle_of_includes_is_refused(write: Write) -> None:
    write("b.toml", 'include = "sub/c.toml"')
    write("sub/c.toml", 'include = "../a.toml"')
    (problem,) = problems(write("a.toml", 'include = "b.toml"'))
    assert problem.startswith("sub/c.toml:1: include: found a circle, expected none: ")
    assert 2 == problem.count("a.toml", problem.index("none: "))


def test_a_file_that_includes_itself_is_refused(write: Write) -> None:
    (problem,) = problems(write("a.toml", 'include = "a.toml"'))
    assert problem.startswith("a.toml:1: include: found a circle")


def test_a_file_that_is_no_text_is_refused(write: Write) -> None:
    name = write("a.toml", "")
    Path(name).write_bytes(b"name = '\xff'")
    assert ["a.toml: found bytes that are no UTF-8 at offset 8"] == problems(name)


def test_a_byte_order_mark_is_no_mistake(write: Write) -> None:
    name = write("a.toml", "")
    Path(name).write_bytes(b"\xef\xbb\xbf[node]\nname = 'x'\n")
    assert "x" == load_settings([name], environ={}).node.name


def test_a_missing_file_names_who_wanted_it(write: Write) -> None:
    write("here.toml", "")
    assert [
        '--config: config: found "no.toml", expected a file that can be read: no such file or directory'
    ] == problems("no.toml")
    (problem,) = problems(TRIONET_CONFIG="no.toml")
    assert problem.startswith('TRIONET_CONFIG: config: found "no.toml"')
    with pytest.raises(ConfigError, match=r'^--env-file: env_file: found "no.env"'):
        load_settings(environ={}, env_files=["no.env"])


def test_mistakes_of_all_sources_are_told_together(write: Write) -> None:
    broken = write("a.toml", "[node")
    wrong = write("b.toml", "[node]\ninbox = 0")
    found = problems(
        broken,
        wrong,
        overrides=(
            "node.concurrency=none",
            "node",
            "=5",
            "a b=5",
            "log.formt=json",
            "include=x",
            Override("log.format", "xml", "--log-format"),
        ),
        TRIONET_NODE_STOP_GRACE="soon",
        TRIONET_NOD_NAME="x",
        TRIONET_LOG_LEVELS="x",
        OTHER="y",
    )
    starts = [
        "a.toml:1: found no valid TOML: ",
        "TRIONET_NOD_NAME: found the variable TRIONET_NOD_NAME, which is none of trionet's; did you mean",
        '--set: found "node", expected key=value',
        '--set: found "=5", expected key=value',
        '--set: found "a b=5", expected key=value',
        "--set: include: found outside of a file, expected in a configuration file",
        "b.toml:2: node.inbox: found 0, expected ",
        'TRIONET_NODE_STOP_GRACE: node.stop_grace: found "soon", expected a number of seconds, 0 or more',
        '--set: node.concurrency: found "none", expected a whole number of handlers, 1 or more',
        'TRIONET_LOG_LEVELS: log.levels: found "x", expected a table: ',
        '--set: log.formt: unknown key; did you mean "format"?',
        '--log-format: log.format: found "xml", expected one of "text", "json"',
    ]
    assert len(starts) == len(found)
    for start, problem in zip(starts, found, strict=True):
        assert problem.startswith(start)


def test_mistakes_in_an_env_file_have_lines_and_tell_no_values(write: Write) -> None:
    env = write("x.env", "A=1\nsecret words\nB='secret\nTRIONET_NODE_INBOX=none")
    with pytest.raises(ConfigError) as caught:
        load_settings(environ={}, env_files=[env])
    assert (
        "x.env:2: found no variable, expected KEY=VALUE",
        "x.env:3: found a quote that is not closed, expected the whole value on one line",
        'x.env:4: node.inbox: found "none", expected a whole number of messages, 1 or more',
    ) == caught.value.problems


def test_a_long_value_is_shortened_in_the_message(write: Write) -> None:
    (problem,) = problems(write("a.toml", f'[node]\nname = "{"x" * 1000}"'))
    assert len(problem) < 200


def test_a_plain_string_does_not_stand_for_a_number(write: Write) -> None:
    name = write("a.toml", '[node]\ninbox = "12"')
    assert ['a.toml:2: node.inbox: found "12", expected a whole number of messages, 1 or more'] == problems(
        name
    )
