"""Decisions: the front by hand and by brute force."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.analysis import decisions

COSTS = pd.DataFrame(
    {"error": [0.1, 0.2, 0.2, 0.05], "ms": [10.0, 5.0, 8.0, 20.0]}, index=list("ABCD")
)


def test_the_front_by_hand():
    assert decisions.pareto_front(COSTS) == ["A", "B", "D"]


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=7))
def test_the_front_is_what_the_definition_says(rows):
    costs = pd.DataFrame(rows, index=[f"n{k}" for k in range(len(rows))], columns=list("xyz"))
    beaten = [
        any(all(a <= b for a, b in zip(o, r, strict=True)) and o != r for o in rows) for r in rows
    ]
    assert decisions.pareto_front(costs) == [
        n for n, b in zip(costs.index, beaten, strict=True) if not b
    ]


def test_costs_that_cannot_be_compared_are_named():
    with pytest.raises(ValueError, match="missing for B"):
        decisions.pareto_front(COSTS.assign(ms=[1, None, 2, 3]))
