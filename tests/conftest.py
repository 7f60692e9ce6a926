"""What holds for all tests: Hypothesis draws the same examples in every run."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("trionet", derandomize=True, deadline=None, database=None, print_blob=True)
settings.load_profile("trionet")
