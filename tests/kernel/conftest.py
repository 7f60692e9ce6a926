"""Fixtures of the tests of the kernel."""

from __future__ import annotations

import pytest

from tests.paths import message_path, pytest_generate_tests

__all__ = ["message_path", "pytest_generate_tests"]


@pytest.fixture
def virtual_run(request: pytest.FixtureRequest) -> None:
    """Run a test in virtual time where it is async; for modules that have tests of both kinds."""
    if request.node.get_closest_marker("trio") is not None:
        request.getfixturevalue("virtual_time")
