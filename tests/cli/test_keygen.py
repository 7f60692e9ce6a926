"""``trionet keygen``: a secret that only its owner can read, and that is never overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from trionet.wire.secrets import SECRET_SIZE, parse_secrets

Invoke = Callable[..., Result]


def test_a_file_is_made_that_only_its_owner_can_read(invoke: Invoke) -> None:
    before = os.umask(0)
    try:
        result = invoke("keygen", "cluster.key")
    finally:
        os.umask(before)
    assert ("", "", 0) == (result.stdout, result.stderr, result.exit_code)
    assert 0o600 == stat.S_IMODE(Path("cluster.key").stat().st_mode)
    (secret,) = parse_secrets(Path("cluster.key").read_text(encoding="utf-8"), "cluster.key")
    assert SECRET_SIZE == len(secret.key)


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_without_a_file_it_is_printed_anew_each_time(invoke: Invoke, arguments: list[str]) -> None:
    texts = [invoke("keygen", *arguments).stdout for _ in range(2)]
    first, second = (parse_secrets(text, "stdout") for text in texts)
    assert first != second
    assert [] == os.listdir()


def test_two_that_are_appended_are_a_file_for_a_change(invoke: Invoke) -> None:
    text = invoke("keygen").stdout + invoke("keygen").stdout
    assert 2 == len(parse_secrets(text, "both"))


@pytest.mark.parametrize("kind", ["file", "folder", "link to nothing"])
def test_what_is_there_stays(invoke: Invoke, kind: str) -> None:
    path = Path("cluster.key")
    if kind == "file":
        path.write_text("mine", encoding="utf-8")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    result = invoke("keygen", "cluster.key")
    expected = "cluster.key: found a file, expected none; a secret is not overwritten\n"
    assert (expected, 2) == (result.stderr, result.exit_code)
    assert ["cluster.key"] == os.listdir()
    assert kind != "file" or path.read_text(encoding="utf-8") == "mine"


def test_no_place_for_the_file_is_one_line(invoke: Invoke) -> None:
    result = invoke("keygen", "absent/cluster.key")
    expected = "absent/cluster.key: found no place for a file: no such file or directory\n"
    assert (expected, 1) == (result.stderr, result.exit_code)


def test_nothing_is_left_of_a_file_that_could_not_be_written(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = invoke("keygen", "cluster.key")
    assert 1 == result.exit_code
    assert "no space left on device" in result.stderr
    assert [] == os.listdir()
