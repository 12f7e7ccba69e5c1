"""The registry: well formed, and wrong entries named."""

import math

import pytest

from helpers.evidence.files import ROOT
from helpers.evidence.registry import Claim, ClaimError, Test, registry
from helpers.evidence.verdicts import LEAST_SEEDS

NOTEBOOKS = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_registry_holds_the_fifty_sentences_in_order():
    numbers = [claim.number for claim in registry().values()]
    assert numbers == sorted(numbers) and set(numbers) == set(range(1, 51))
    assert all(key == claim.id for key, claim in registry().items())


@pytest.mark.parametrize("claim", registry().values(), ids=lambda claim: claim.id)
def test_every_claim_is_well_formed(claim: Claim):
    assert claim.notebook in NOTEBOOKS
    assert claim.section in {"S1", "S2", "S3", "S4", "S5", "topics", "takeaways"}
    assert all((claim.quote, claim.question, claim.expected, claim.answer, claim.answered))
    sampled = [test for test in claim.test if test.kind != "assertion"]
    assert claim.seeds >= LEAST_SEEDS if sampled else claim.seeds == 0
    for finding in claim.literature:
        assert set(finding) == {"source", "finding", "checked"}


def test_every_test_is_well_formed():
    for test in (test for claim in registry().values() for test in claim.test):
        assert test.name and test.statement
        if test.kind == "assertion":
            assert math.isnan(test.threshold) and test.unit == ""
        else:
            assert math.isfinite(test.threshold) and math.isfinite(test.around) and test.unit
        if test.kind in ("count", "rates"):
            assert -(test.kind == "rates") < test.threshold < 1
        assert test.threshold > 0 if test.direction == "within" else test.around == 0


ENTRY = """
[[claim]]
id = "a"
number = 1
section = "S1"
quote = "q"
question = "q?"
notebook = "01_cnn_filters"
seeds = 10
expected = "n"
[[claim.test]]
name = "t"
statement = "s"
kind = "assertion"
"""


CORE = '[[claim.test]]\nname = "u"\nstatement = "s"\nkind = "assertion"\n'


def answered(text: str, word: str = "true") -> str:
    """The entry with an answer."""
    return ENTRY.replace(
        'expected = "n"', f'expected = "n"\nanswered = "{word}"\nanswer = "{text}"'
    )


def test_a_registry_is_read_from_its_file(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(ENTRY)
    assert registry(path)["a"].test == (Test("t", "s", "assertion"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is missing: restore it with `git checkout data/`"),
        ("[[claim]", "is malformed"),
        ("title = 'no claims'", "is malformed.*claim"),
        (ENTRY.replace("[[claim.test]]", "[[claim.tset]]"), "a: 'test'"),
        (ENTRY.replace("kind =", "kid ="), "a: .*kid"),
        (ENTRY.replace("number = 1", "numbre = 1"), "a: .*numbre"),
        (ENTRY.replace("seeds = 10\n", ""), "a: .*seeds"),
        (ENTRY.replace('id = "a"\n', ""), "an entry without id: .*id"),
        (ENTRY.replace('"assertion"', '"asertion"'), "a: t has kind 'asertion'"),
        (ENTRY.replace('"assertion"', '"mean"\ndirection = "over"'), "a: t has .*'over'"),
        (ENTRY + CORE.replace('"u"', '"t"'), "a: a test is named twice"),
        (ENTRY + "seeds = 9\n", "a: t has 9 seeds: use 12 to 10, or none"),
        (ENTRY + 'role = "cor"', "a: t has role 'cor'"),
        (ENTRY + 'role = "weaker"', "a: no test is core"),
        (ENTRY + CORE + 'role = "beside"\nwhen = "it rains"', "a: u has a condition"),
        (ENTRY + CORE + 'when = "it rains"', "a: some core tests have a condition"),
        (answered("It takes {u.effect:.1f} steps."), "a: its answer speaks of u.effect"),
        (answered("It takes {t.effect:.1f} steps.", "maybe"), "a: answered is 'maybe'"),
        (answered("Only for 3 of them.", "true if"), "a: .* no test has a condition"),
        (answered("word " * 25 + "1"), "a: its answer has 26 words"),
        (answered("It does."), "a: its answer holds no number"),
        (ENTRY + ENTRY, "registers a claim twice"),
    ],
)
def test_a_bad_registry_is_named(tmp_path, content, message):
    path = tmp_path / "claims.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClaimError, match=rf"claims\.toml.*{message}"):
        registry(path)
