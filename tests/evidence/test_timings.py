"""Timings: stored with their machine, measured a little beside it, a reader's own if changed."""

from dataclasses import replace

import pandas as pd
import pytest
from experiments import CHECK, DESIGN, PROVE, READ

from helpers.evidence import experiment, store, timings
from helpers.evidence.store import EvidenceError


def measure(repetition: int) -> dict[str, float]:
    return {"slow": 2.0 + repetition, "fast": 1.0}


def conduct(how, repetitions: int = 3, here: int = 1, measure=measure) -> pd.DataFrame:
    return timings.conduct("01_toy", "speed", measure, repetitions, here, how)


def test_stored_repetitions_come_back_and_the_machine_is_named(evidence, shown):
    expected = pd.DataFrame({"slow": [2.0, 3.0, 4.0], "fast": [1.0] * 3})
    expected = expected.rename_axis("repetition")
    for how in (PROVE, CHECK, READ):
        pd.testing.assert_frame_equal(conduct(how), expected, check_dtype=False)
    made = store.read(store.place("01_toy", "speed")).made
    line = f"speed: 3 stored repetitions, on {made['processor']}"
    assert {data["text/plain"] for data in shown} == {line}
    assert "evidence (median)" in shown[0]["text/html"] and ">3<" in shown[0]["text/html"]


def test_only_what_is_shown_here_is_measured(evidence, shown):
    conduct(PROVE)
    calls = []

    def counted(repetition: int) -> dict[str, float]:
        calls.append(repetition)
        return measure(repetition)

    conduct(CHECK, here=2, measure=counted)
    conduct(CHECK, here=0, measure=counted)
    assert calls == [0, 1]
    seen = ["here (median)" in data["text/html"] for data in shown[-2:]]
    assert seen == [True, False]


def test_a_reader_measures_what_is_not_stored(evidence, shown):
    assert len(conduct(READ, repetitions=2)) == 2 and not evidence.exists()
    conduct(PROVE)
    assert len(conduct(READ, repetitions=5)) == 5
    assert list(conduct(READ, measure=lambda k: {"other": 1.0})) == ["other"]


@pytest.mark.parametrize(
    "changed", [{"repetitions": 4}, {"measure": lambda repetition: {"other": 1.0}}]
)
def test_a_check_refuses_what_is_not_stored_so(evidence, shown, changed):
    with pytest.raises(EvidenceError, match=r"speed\.json is missing"):
        conduct(CHECK)
    conduct(PROVE)
    renewed = "make prove NOTEBOOK=01 EXPERIMENT=speed"
    with pytest.raises(EvidenceError, match=rf"speed has 3 repetitions of .*{renewed}"):
        conduct(CHECK, **changed)


def test_where_evidence_is_written_what_was_proved_before_is_read(evidence, shown, tmp_path):
    how = replace(PROVE, root=tmp_path / "new")
    first = conduct(how)
    again = conduct(replace(how, only="another"), measure=lambda k: measure(k + 1))
    pd.testing.assert_frame_equal(again, first)


@pytest.mark.slow
def test_networks_are_no_timings(evidence, shown):
    experiment.conduct(DESIGN, 0, PROVE)
    with pytest.raises(EvidenceError, match=r"toy\.json holds networks that were trained"):
        timings.conduct("01_toy", "toy", measure, 3, 1, CHECK)
