"""Where consoles are on a machine: real Unix sockets, in folders that only their user can enter."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.console_client import Client
from trionet import ConsoleConfig, ConsoleDoor, Node
from trionet.net.console_places import free_place, make_private, places, runtime_folder

Say = Callable[[Any], Awaitable[None]]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def answer_back(line: str, say: Say) -> str:
    return line


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder, where the path is short."""
    path = tmp_path_factory.mktemp("r")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))
    return path / "trionet"


async def test_a_socket_of_its_own_for_each_node(node: Node, folder: Path) -> None:
    async with trio.open_nursery() as nursery:
        addresses = [
            await nursery.start(ConsoleDoor(ConsoleConfig()).run, node, answer_back) for _ in range(2)
        ]
        found = places(folder)
        assert sorted(each.address for each in found) == sorted(addresses)
        assert {(each.node, each.pid) for each in found} == {(node.name, os.getpid())}
        assert mode(folder) == 0o700
        assert mode(found[0].path) == 0o600
        async with await trio.open_unix_socket(str(found[0].path)) as stream:
            client = Client(stream)
            assert await client.reply() == {
                "reply": "hello",
                "node": node.name,
                "harbor": 0,
                "version": "0.1.0.dev0",
            }
            assert await client.ask("a") == "a"
        nursery.cancel_scope.cancel()
    assert not names(folder)


@pytest.fixture
def remains(folder: Path) -> None:
    """What processes have left, and one that is just starting."""
    folder.mkdir(mode=0o700)
    for name in ("gone-999999999.sock", f"starting-{os.getpid()}.sock", "another file"):
        (folder / name).touch()


async def test_sockets_of_the_dead_are_removed(node: Node, folder: Path, remains: None) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(ConsoleDoor(ConsoleConfig()).run, node, answer_back)
        assert [each.node for each in places(folder)] == [node.name]
        nursery.cancel_scope.cancel()
    assert names(folder) == ["another file", f"starting-{os.getpid()}.sock"]


def test_a_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="has mode 0755, expected 0700"):
        make_private(folder)
    folder.rmdir()
    folder.symlink_to("/tmp")
    with pytest.raises((PermissionError, FileExistsError)):
        make_private(folder)


async def test_an_address_of_ones_choice(node: Node, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("r") / "new" / "c.sock"
    config = ConsoleConfig(address=f"unix:{path}")
    async with trio.open_nursery() as nursery:
        assert await nursery.start(ConsoleDoor(config).run, node, answer_back) == f"unix:{path}"
        assert mode(path.parent) == 0o700
        with pytest.raises(OSError, match="in use"):
            await nursery.start(ConsoleDoor(config).run, node, answer_back)
        nursery.cancel_scope.cancel()


def test_places_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="longer than 100 bytes"):
        free_place("x", tmp_path / ("y" * 100))
    assert places(tmp_path / "none") == []
    assert runtime_folder({"XDG_RUNTIME_DIR": "/run/user/5"}) == Path("/run/user/5/trionet")
    assert runtime_folder({}).name == f"trionet-{os.getuid()}"
