"""Every planted fault still fits the code, and the checks that must notice it exist and work."""

import nbformat
import pytest
from mutants import (
    REPORT,
    TABLE,
    Mutation,
    MutationError,
    attempt,
    caught_by,
    misfits,
    planted,
    read,
    report,
)
from replaying import needed

MUTANTS = read(TABLE.read_text(encoding="utf-8"))
FLIPPED = MUTANTS["a flipped kernel"]
ROOMS = {"data", "nets", "text", "training", "analysis", "evidence", "course"}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fits_the_code_and_its_checks(name):
    assert not misfits(MUTANTS[name])


def test_the_page_has_a_row_for_every_mutant():
    rows = REPORT.read_text(encoding="utf-8").splitlines()[6:]
    names = [row.removeprefix("| ").split(" | ")[0] for row in rows]
    assert names == list(MUTANTS), "make mutants"


def test_there_are_mutants_for_every_room_that_computes():
    assert len(MUTANTS) >= 80
    assert {m.helper.split("/")[0] for m in MUTANTS.values()} == ROOMS
    assert any(m.helper.startswith("training/engine/") for m in MUTANTS.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"find": "no_such.text"},
            "'no_such.text' occurs 0 times in correlate of helpers/nets/cnn",
        ),
        ({"find": "kernel", "within": ""}, r"'kernel' occurs \d+ times in the module of"),
        ({"within": "correlate.inside"}, "helpers/nets/cnn.py has no correlate.inside"),
        ({"select": "no_such and test"}, "no test in .*test_models.py is called 'no_such'"),
        ({"helper": "none.py"}, "none.py is missing"),
        ({"replay": "01_cnn_filters/none"}, "01_cnn_filters/none.json is missing"),
    ],
)
def test_what_does_not_fit_is_said(change, said):
    with pytest.raises(AssertionError, match=said):
        assert not misfits(FLIPPED._replace(**change))


GOOD = {"helper": "a.py", "find": "x", "plant": "y", "tests": "t.py", "select": "t"}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (GOOD | {"old": "x"}, r"a fault: \['old'\] mean nothing, use"),
        ({"helper": "a.py", "find": "x", "tests": "t.py"}, r"a fault: \['plant'\] missing"),
        (GOOD | {"select": ""}, "a fault: name tests and select, or a replay"),
        (GOOD | {"tests": "", "select": ""}, "a fault: name tests and select, or a replay"),
        (GOOD | {"find": "x +"}, r"a fault: 'x \+' is no Python"),
        (GOOD | {"find": "x; y"}, "a fault: 'x; y' is no Python .*one expression or statement"),
        (GOOD | {"plant": "pass"}, "a fault: find and plant are two expressions, or two"),
    ],
)
def test_a_malformed_entry_is_named(entry, said):
    lines = [f"{key} = '{value}'" for key, value in entry.items()]
    with pytest.raises(MutationError, match=said):
        read("\n".join(['["a fault"]', *lines]))


def test_a_malformed_table_is_named():
    with pytest.raises(MutationError, match="the table is malformed"):
        read('["a fault"\n')
    with pytest.raises(MutationError, match="a fault: an entry holds texts alone"):
        read('["a fault"]\nhelper = 1')


def test_a_fault_is_planted_by_syntax_whatever_the_layout():
    mutation = Mutation("a.py", find="2 * x", plant="2 + x", within="Net.run.inside")
    source = '''
def run(x):
    return 2 * x

class Net:
    def run(self, x):
        """Twice: 2 * x."""
        def inside(x):
            return max(
                2
                * x,  # a comment
                0,
            )
        return inside(x)
'''
    there = {}
    exec(compile(planted(source, mutation), "a.py", "exec"), there)
    assert there["run"](5) == 10 and there["Net"]().run(5) == 7
    statement = mutation._replace(find="return 2 * x", plant="pass", within="run")
    exec(compile(planted(source, statement), "a.py", "exec"), there)
    assert there["run"](5) is None and there["Net"]().run(5) == 10


def test_a_crash_is_not_a_catch():
    line = "FAILED tests/a/test_b.py::test_c[x y - z] - assert 1 == 2"
    assert caught_by(1, f"a.py:3: AssertionError\n{line}").startswith("test_c[x y")
    assert caught_by(1, "E   NameError\nFAILED tests/b.py::test_c - NameError") is None
    assert caught_by(0, "") is None and caught_by(2, "ERROR AssertionError") is None


# ---------------------------------------------------------------- one experiment of a notebook


CELLS = [
    "import sys",
    "from math import pi, tau",
    "unused = [k for k in range(3)]",
    "def area(r):\n    return pi * r**2",
    "radius = 2",
    "print(unused)",
    "lab.experiment('toy', area, radius)",
    "after = 1",
]


@pytest.fixture
def notebook(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    line = {"text/plain": "toy: 24 stored networks, 2 of them replayed here: equal"}
    cells[6].outputs = [nbformat.v4.new_output("display_data", line)]
    path = tmp_path / "00_toy.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("#"), *cells]), path
    )
    return path


def test_only_the_cells_that_an_experiment_needs_are_run(notebook):
    assert needed(notebook, "toy") == [CELLS[k] for k in (0, 1, 3, 4, 6)]
    with pytest.raises(ValueError, match=r"no cell of 00_toy\.ipynb conducts 'to'"):
        needed(notebook, "to")


# ---------------------------------------------------------------- at work


@pytest.mark.nightly
def test_faults_are_caught_by_test_and_replay_and_no_fault_is_not():
    mutation = MUTANTS["the same split for every seed"]
    harmless = mutation._replace(plant='stream(seed=seed, name="split")')
    chosen = {"kernel": FLIPPED, "split": mutation, "none": harmless}
    outcomes = {name: attempt(one) for name, one in chosen.items()}
    assert outcomes["kernel"].test == "test_correlate_does_not_flip_the_kernel"
    assert outcomes["kernel"].replay is None
    assert outcomes["split"].test == "test_seeds_split_otherwise_and_a_seed_always_alike"
    assert outcomes["split"].replay is True
    assert outcomes["none"][:2] == (None, False)
    assert [outcomes[name].catches(chosen[name]) for name in chosen] == [True, True, False]
    page = report(chosen, outcomes)
    assert "2 of 3 scientific faults" in page and "asked alone, catches 1 of 2" in page


@pytest.mark.nightly
def test_a_fault_that_a_notebook_asserts_away_still_meets_the_replay():
    early = MUTANTS["read a token before the last"]._replace(tests="", select="")
    assert attempt(early).replay is True
    with pytest.raises(MutationError, match=r"05_text_to_tensors/read-out broke before its replay"):
        attempt(early._replace(plant="no_such_lengths"))
