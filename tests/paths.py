"""The contract on every path: each of its tests runs with and without what makes messages fast, and observed.

A test of the contract is one whose name begins with ``test_c``.  It runs as ``direct``, as a node does it, as
``queued``, where every message goes through the inbox and a task of its service runs the handler; in the
folder of the kernel also as ``observed``, where every handler is measured and every call chain recorded; in
the folder of simulated clusters also as ``bundled``, where every small message travels in a bundle.
The mark ``one_path`` is for a test that is about one path, or cannot run twice.  With ``--paths direct`` all
tests run as ``direct`` only.

A ``conftest.py`` that imports the two functions has this for its folder.
"""

from __future__ import annotations

import pytest

from trionet import TraceConfig
from trionet.kernel import messaging
from trionet.kernel.actor import Actor
from trionet.kernel.traces import trace_ids
from trionet.net import sending, serving

PATHS = ("direct", "queued")
#: One more path of the tests of a folder.
MORE = {"kernel": "observed", "sim": "bundled"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a test of the contract run once for each path."""
    one_path = metafunc.definition.get_closest_marker("one_path") is not None
    if metafunc.function.__name__.startswith("test_c") and not one_path:
        paths = PATHS + tuple(MORE[part] for part in metafunc.definition.path.parts if part in MORE)
        wanted = metafunc.config.getoption("paths")
        chosen = [path for path in paths if wanted in ("all", path)]
        metafunc.parametrize("message_path", chosen, indirect=True)


@pytest.fixture(autouse=True)
def message_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path that messages take."""
    path = str(getattr(request, "param", "direct"))
    if path == "queued":
        monkeypatch.setattr(Actor, "may_begin", lambda *_: False)
    elif path == "bundled":
        monkeypatch.setattr(sending, "BUNDLE_FROM", 0)
        monkeypatch.setattr(serving, "BUNDLE_FROM", 0)
    elif path == "observed":
        monkeypatch.setattr(TraceConfig, "records", True)
        monkeypatch.setattr(messaging, "trace_ids", lambda _, random: trace_ids(1, random))
    return path
