"""The tests of the contract in this folder run on every path."""

from __future__ import annotations

from tests.paths import message_path, pytest_generate_tests

__all__ = ["message_path", "pytest_generate_tests"]
