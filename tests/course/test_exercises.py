"""The checkers know right from wrong, and survive whatever a reader types."""

import pytest

from helpers.course.exercises import EXERCISES, check, hint, solution

WRONG = [0, -1, 1e9, "no idea", [1, 2], [[1, 0], [0, 1]], float("nan"), {}, print, True]


def printed(capsys):
    return capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_right_answer_is_right(name, capsys):
    check(name, EXERCISES[name].example)
    assert printed(capsys).startswith("Right.")


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: f"{answer!r:.12}")
def test_wrong_answer_is_wrong_and_never_an_error(name, answer, capsys):
    check(name, answer)
    assert printed(capsys).startswith("Not right")


@pytest.mark.parametrize("name", EXERCISES)
def test_no_answer_points_to_a_hint_that_does_not_give_it_away(name, capsys):
    check(name)
    assert printed(capsys).startswith("Not answered yet")
    hint(name)
    assert EXERCISES[name].solution not in printed(capsys)
    solution(name)
    assert printed(capsys).strip() == EXERCISES[name].solution


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("01.horizontal-edge", [[-1, 0, 1]] * 3),  # the vertical one
        ("01.horizontal-edge", [[1] * 3] * 3),  # a blur answers to both
        ("01.horizontal-edge", [[0] * 3] * 3),
        ("01.output-size", 13),
        ("01.receptive-field", 9),
        ("02.forgotten-zero-grad", 0.8),  # as if zero_grad had been called
        ("02.one-update", 0.3),  # the wrong way
    ],
)
def test_likely_mistakes_are_wrong(name, answer, capsys):
    check(name, answer)
    assert printed(capsys).startswith("Not right")


def test_unknown_exercise_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"01\.first-number"):
        check("01.no-such-exercise", 1)
