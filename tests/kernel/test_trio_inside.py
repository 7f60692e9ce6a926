"""What is taken from Trio's inside agrees with what Trio says (C6)."""

from __future__ import annotations

from contextlib import ExitStack
from math import inf

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trionet.kernel import trio_inside
from trionet.kernel.trio_inside import effective_deadline, is_cancelled

SCOPES = st.lists(
    st.tuples(st.sampled_from([inf, inf, 5.0, 10.0]), st.booleans(), st.sampled_from([False] * 5 + [True])),
    max_size=8,
)


async def test_trio_has_the_names() -> None:
    """Where it has them no more all goes on, by longer ways."""
    assert trio_inside.POSSIBLE


@pytest.mark.parametrize("possible", [True, False])
@given(SCOPES)
def test_deadline_and_cancellation_are_those_of_trio(
    possible: bool, scopes: list[tuple[float, bool, bool]]
) -> None:
    async def within() -> None:
        shielded = False
        with ExitStack() as stack:
            for seconds, shield, cancelled in scopes:
                scope = stack.enter_context(trio.move_on_after(seconds, shield=shield))
                if cancelled:
                    scope.cancel()
                shielded |= shield
                deadline, may_be_shielded = effective_deadline()
                assert deadline == trio.current_effective_deadline()
                assert is_cancelled() is (not possible or deadline == -inf)
                assert may_be_shielded is (not possible or (shielded and deadline != -inf))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio_inside, "POSSIBLE", possible)
        trio.run(within)
