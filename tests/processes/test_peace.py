"""Real nodes over real TCP that cancel, stop in order, and speak TLS (C6, C13, C14)."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from tests.processes.children import open_stage
from tests.processes.echo import Echo, Patient
from trionet import NoSuchService

pytestmark = pytest.mark.timeout(240)

#: Seconds, on a machine that is busy with other things.
SOON = 60.0


def tls_files(folder: Path, name: str) -> dict[str, Any]:
    """Make an authority and a certificate; returns the settings that name their files."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    paths = {f"tls_{key}": str(folder / f"{name}-{key}.pem") for key in ("certificate", "key", "authority")}
    certificate.cert_chain_pems[0].write_to_path(paths["tls_certificate"])
    certificate.private_key_pem.write_to_path(paths["tls_key"])
    authority.cert_pem.write_to_path(paths["tls_authority"])
    return paths


async def test_a_call_that_is_cancelled_or_out_of_time_ends_its_handler_two_nodes_away(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path) as stage, stage.node() as node:
        await stage.start_all(node, 2, 3)
        via, end = node.ref("echo2", Echo), node.ref("echo3", Echo)
        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(via.never_via, end)
                await end.wait_begun(1)
                nursery.cancel_scope.cancel()
            await end.wait_cancelled(1)

            with pytest.raises(trio.TooSlowError), trio.fail_after(2):
                await via.never_via(end)
            await end.wait_begun(2)
            await end.wait_cancelled(2)


async def test_sigterm_ends_a_node_in_order_and_its_caller_gets_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stage(tmp_path) as stage, stage.node() as node:
        child = await stage.start(2, before="Patient")
        with trio.fail_after(SOON):
            await stage.linked(node, 2)
        patient = node.ref("patient2", Patient)
        listener = await node.start(Echo, name="listener")
        answers: list[str] = []

        async def call() -> None:
            answers.append(await patient.until_leaving())

        with trio.fail_after(SOON):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                await trio.testing.wait_all_tasks_blocked()
                await patient.ready()
                child.process.send_signal(signal.SIGTERM)
            code, text = await child.end()
            await node.cluster.wait_disconnected(2)
        assert ["stopping"] == answers
        assert 0 == code
        assert "Traceback" not in text
        # What was acknowledged at the very end is no dead letter.
        assert ["farewell"] == await listener.notes()
        assert "dead letter" not in text
        # Who has left does not knock again.
        assert [] == [each.getMessage() for each in caplog.records if each.name == "trionet.net"]
        assert "patient2" not in node.names()
        with pytest.raises(NoSuchService):
            await patient.ready()


async def test_what_a_node_had_to_cut_off_is_told_by_its_exit_code(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage, stage.node() as node:
        child = await stage.start(2, "--set=node.stop_grace=0.2", before="Stubborn")
        with trio.fail_after(SOON):
            await stage.linked(node, 2)
            child.process.send_signal(signal.SIGTERM)
            code, text = await child.end()
            await node.cluster.wait_disconnected(2)
        assert 75 == code
        assert "stubborn2 (Stubborn)" in text
        assert "Traceback" not in text


async def test_tls_between_two_processes_and_nobody_without_a_certificate(tmp_path: Path) -> None:
    async with open_stage(tmp_path, **tls_files(tmp_path, "ours")) as stage, stage.node() as node:
        await stage.start_all(node, 2)
        echo = node.ref("echo2", Echo)
        assert b"x" * 100_000 == await echo.echo(b"x" * 100_000)
        stranger = await stage.start(3, **tls_files(tmp_path, "theirs"), join_timeout=1.0)
        with trio.fail_after(SOON):
            code, text = await stranger.end()
        assert 1 == code
        assert "cluster.master: " in text
        assert "certificate" in text
        assert "Traceback" not in text
        assert [1, 2] == sorted(node.cluster.nodes())
