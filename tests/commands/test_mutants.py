"""Every planted fault still fits the code, and the tests that must notice it exist."""

import pytest
from mutants import MUTATIONS, Mutation, caught_by, misfits


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutant_fits_the_code_and_its_tests(name):
    assert not misfits(MUTATIONS[name])


def test_what_does_not_fit_is_said():
    fits = MUTATIONS["a flipped kernel"]
    assert misfits(fits._replace(old="no such text"))[0].startswith("'no such text' occurs 0 times")
    assert misfits(fits._replace(select="no_such and test")) == [
        f"no test in {fits.tests} is called 'no_such'"
    ]
    assert len(misfits(Mutation("none.py", "", "", "tests/none.py", ""))) == 2


def test_a_crash_is_not_a_catch():
    line = "FAILED tests/a/test_b.py::test_c[x y - z] - assert 1 == 2"
    assert caught_by(1, f"a.py:3: AssertionError\n{line}").startswith("test_c[x y")
    assert caught_by(1, "E   NameError\nFAILED tests/b.py::test_c - NameError") is None
    assert caught_by(0, "") is None and caught_by(2, "ERROR AssertionError") is None
