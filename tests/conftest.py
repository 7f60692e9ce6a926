"""What holds for all tests: Hypothesis draws the same examples in every run, and which paths there are."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("trionet", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("trionet")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that :mod:`tests.paths` reads."""
    parser.addoption(
        "--paths",
        choices=("all", "direct"),
        default="all",
        help="the paths of messages on which a test of the contract runs (default: %(default)s)",
    )
