"""Mutants are drawn alike every time, and those that a test can notice are noticed."""

import json
from unittest.mock import ANY

import pytest
from conventional import (
    Found,
    Place,
    Suite,
    asked,
    attempt,
    difference,
    keep,
    known,
    places,
    planted,
    report,
    sample,
    scope,
    shuffled,
    watch,
)

TINY = '''"""A tiny room."""

SIDES = 4


def around(side: int | None):
    """Sides of a square."""
    total = SIDES * side
    return total


def unseen():
    return 1 + 1
'''
TESTS = """
import pytest
from helpers.nets.tiny import around

def test_around():
    assert around(1) == 4

def test_nothing():
    assert around(0) == 0

@pytest.fixture(scope="module")
def made():
    return around(2)

def test_first(made):
    assert True

def test_made(made):
    assert made == 8

def test_red():
    assert around(1) == 5
"""


@pytest.fixture
def repository(tmp_path):
    """A repository of one helper."""
    folder = tmp_path / "a" / "copy"
    for path, text in {"helpers/nets/tiny.py": TINY, "tests/nets/test_tiny.py": TESTS}.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(text)
    for package in ("helpers", "helpers/nets"):
        (folder / package / "__init__.py").touch()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\nmarkers =\n  nightly: no\n")
    return folder


def test_a_larger_sample_begins_with_the_smaller_one():
    everything = [Place(f"nets/{k % 7}.py", "Add", k, k) for k in range(500)]
    order = shuffled(everything, 1)
    assert order == shuffled(everything[::-1], 1) != shuffled(everything, 2)
    assert sorted(order) == sorted(everything) != order


def test_places_and_mutants(repository):
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed")
    found = places(repository, ["nets/tiny.py"])
    assert {p.line for p in found} == {3, 6, 8, 13}
    order = shuffled(found, 0)
    few, more = sample(order, repository, 5), sample(order, repository, 12)
    assert more[:5] == few and len(more) == 12
    # 11 other operators each at * and +, and a number more or less at three; nothing at |.
    everything = sample(order, repository, len(order))
    assert len(everything) == 11 + 11 + 6 < len(order)
    assert {p.line for p, _ in everything} == {3, 8, 13}
    place = next(p for p in found if p.operator == "ReplaceBinaryOperator_Mul_Add")
    assert difference(TINY, planted(TINY, place)) == (
        "total = SIDES * side",
        "total = SIDES + side",
    )


def test_what_a_line_belongs_to():
    assert scope(TINY, 3) == ("", False) and scope(TINY, 8) == ("around", True)
    nested = "class A:\n    x = 1\n    def f(self, y=2):\n        def g():\n            return 3\n"
    assert [scope(nested, line) for line in (2, 3, 5)] == [
        ("A", False),
        ("A.f", False),
        ("A.f.g", True),
    ]


def test_a_half_written_line_is_no_finding(tmp_path):
    kept, first, second = tmp_path / "found", Place("a.py", "Add", 0, 1), Place("a.py", "Add", 1, 2)
    assert known(kept, "h", "t") == {}
    keep(kept, first, "tests/a.py::test_a", "h", "t")
    with kept.open("a") as file:
        file.write('\n[["a.py", "Add", 7')
    keep(kept, second, "", "h", "t")
    assert known(kept, "h", "t") == {first: "tests/a.py::test_a", second: ""}
    # With other tests a survivor is tried again, with other helpers everything.
    assert known(kept, "h", "more") == {first: "tests/a.py::test_a"}
    assert known(kept, "other", "t") == {}


def test_a_mutant_meets_those_who_execute_its_line_the_quickest_first():
    seconds = {"tests/nets/b.py::slow": 9.0, "tests/text/a.py::quick": 0.1, "helpers/nets/c": 1.0}
    tests = Suite(seconds | {"tests/nets/d.py::long": 1000.0}, {})
    tests.lines["nets/tiny.py"] = {"8": list(seconds)[:2], "9": ["", "tests/text/a.py::quick"]}
    place = Place("nets/tiny.py", "Add", 0, 8)
    assert asked(place, True, tests) == ["tests/text/a.py::quick", "tests/nets/b.py::slow"]
    of_room = ["helpers/nets/c", "tests/nets/b.py::slow"]
    assert asked(place, False, tests)[-2:] == of_room
    assert asked(place._replace(line=9), True, tests) == ["tests/text/a.py::quick", *of_room]
    assert asked(place._replace(line=12), True, tests) == of_room


@pytest.mark.nightly
def test_a_planted_mutant_is_caught_and_a_harmless_one_is_not(repository, tmp_path):
    kept = tmp_path / "kept" / "tests.json"
    tests = watch(repository, kept)
    names = ("around", "first", "made", "nothing")  # the red one is not asked
    all_four = [f"tests/nets/test_tiny.py::test_{name}" for name in names]
    around, nothing = all_four[0], all_four[-1]
    assert sorted(tests.seconds) == all_four == sorted(tests.lines["nets/tiny.py"]["8"])
    stored = json.loads(kept.read_text())
    assert watch(repository, kept) == tests and json.loads(kept.read_text()) == stored
    more = repository / "tests/nets/test_more.py"
    more.write_text(
        "from helpers.nets.tiny import unseen\n\ndef test_two():\n    assert unseen() == 2"
    )
    grown = watch(repository, kept)
    assert grown.seconds == {**tests.seconds, f"{more.relative_to(repository)}::test_two": ANY}
    assert {t: s for t, s in grown.seconds.items() if t in all_four} == tests.seconds
    assert sorted(grown.lines["nets/tiny.py"]["8"]) == all_four
    assert grown.lines["nets/tiny.py"]["13"] == ["tests/nets/test_more.py::test_two"]
    place = Place("nets/tiny.py", "Mul_Add", 0, 8)

    def caught(old: str, new: str, names=(nothing, around)) -> str:
        found = attempt(repository, place, TINY.replace(old, new), names, tests)
        assert (repository / "helpers/nets/tiny.py").read_text() == TINY
        return found

    assert caught("SIDES * side", "SIDES ** side") == nothing
    assert caught("SIDES * side", "side * SIDES") == ""
    assert caught("SIDES = 4", "SIDES = 4 / 0") == "import"
    assert caught("around(", "about(") == "import"
    page = report(
        [
            Found(place, "around", "a * b", "a ** b", nothing),
            Found(place, "around", "a * b", "b * a", ""),
            Found(place, "unseen", "1 + 1", "1 - 1", ""),
        ],
        {"nets/tiny.py around": {"b * a": "a product is the same either way."}},
        "drawn.",
    )
    assert "1 of 3 are caught: 33.3%" in page and "1 are equivalent and 1 open" in page
    assert "`b * a`. Equivalent: a product" in page and "`1 - 1`. **Open.**" in page
