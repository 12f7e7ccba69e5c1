"""The checkers know right from wrong, and survive whatever a reader hands in."""

import re
import sys
import threading
import time

import pytest
import torch

from helpers.course.exercises import EXERCISES, Code, Quick, check, hint, kinds, limits, solution


@pytest.fixture
def said(capsys):
    """What a check, or another call, prints."""

    def printed(call, *given):
        call(*given)
        return capsys.readouterr().out.strip()

    return printed


@pytest.mark.parametrize("name", EXERCISES)
def test_every_exercise_tells_right_from_wrong(name, said):
    exercise = EXERCISES[name]
    asked = exercise.oracle if isinstance(exercise, Code) else exercise.answer
    assert said(check, name, asked) == f"Right. {exercise.praise}"
    assert said(check, name) == f"Not answered yet. Hint: exercises.hint({name!r})"
    for text, wrong in exercise.mistakes.items():
        assert said(check, name, wrong) == f"Not right. {text} Hint: exercises.hint({name!r})"
    assert said(solution, name) == exercise.solution and said(hint, name) == exercise.hint
    assert exercise.solution not in exercise.hint


CODE = [name for name, exercise in EXERCISES.items() if isinstance(exercise, Code)]


@pytest.mark.parametrize("name", CODE)
def test_the_code_that_is_shown_is_right_and_five_mistakes_are_known(name, said):
    exercise = EXERCISES[name]
    place: dict = {}
    module = sys.modules[(exercise.readable or exercise.oracle).__module__]
    exec(exercise.solution, vars(module) | place, place)  # nothing else of its module is needed
    (function,) = place.values()
    assert said(check, name, function).startswith("Right.")
    assert len(exercise.mistakes) >= 5


@pytest.mark.parametrize(
    "answer",
    [0, 1e9, "no idea", [1, 2], [[1, 0], [0, 1]], float("nan"), {}, print, True, torch.ones(3)],
    ids=lambda answer: f"{answer!r:.12}",
)
@pytest.mark.parametrize(
    "name",
    ["01.first-number", "01.horizontal-edge", "05.batch-sizes", "07.front", "05.first-merge"],
)
def test_a_wrong_answer_of_any_kind_is_a_sentence(name, answer, said):
    assert said(check, name, answer).startswith("Not right.")


@pytest.mark.parametrize(
    ("name", "answer", "right"),
    [
        ("02.loss-of-ignorance", 2.306, False),  # further off than 0.005
        ("05.batch-sizes", (3, 2, 2, 1, 1), True),
        ("05.batch-sizes", torch.tensor([3, 2, 2, 1, 1]), True),
        ("07.front", ["d", "B", "a"], True),  # no order
        ("07.front", ["A", "B"], False),
        ("05.pad-collision", " NLP is  fun nlp", True),
        ("01.horizontal-edge", [[2, 2, 2], [0, 0, 0], [-2, -2, -2]], True),
        ("01.horizontal-edge", [[-1, 0, 1]] * 3, False),  # the vertical one
        ("01.horizontal-edge", [[1] * 3] * 3, False),  # a blur answers to both
    ],
)
def test_quick_answers_are_read_kindly_and_judged_strictly(name, answer, right, said):
    assert said(check, name, answer).startswith("Right." if right else "Not right.")


def test_a_known_mistake_and_a_wrong_kind_are_named():
    quick = Quick(14, "Round down.", "14.", mistakes={"The brackets round down.": 15})
    assert quick.fault(15) == "The brackets round down." and quick.fault(13) == ""
    assert quick.fault([14, 1]) == "It is a list of 2 where a number is asked for."


# ---------------------------------------------------------------- code that goes astray


def total(values, scale):
    return scale * values.sum()


def values(generator):
    size = int(torch.randint(2, 6, (), generator=generator))
    return torch.rand(size, generator=generator) + 1, 2.0


TOTAL = Code(total, values, {"That is the mean.": lambda v, s: s * v.mean()}, "Add.", cases=3)


def endless(values, scale):
    while True:
        pass


def changing(values, scale):
    values += 1
    return scale * (values - 1).sum()


def leaving(values, scale):
    sys.exit("bye")


def printing(values, scale):
    print(scale * values.sum())


ASTRAY = [
    (lambda v, s: s * v.mean(), "That is the mean."),
    (lambda v, s: float("nan"), "it returns NaN, which is no number"),
    (lambda v, s: s * v, r"it returns shape \(\d,\) where \(\) is right"),
    (
        lambda v, s: s * v.sum() + 1,
        r"values of|values \[.*, scale 2.0 it returns .* where .* is right",
    ),
    (lambda v, s: "12", "it returns a text where a tensor of shape"),
    (lambda v, s: {"a": 1}, "it returns a dict of 1 where"),
    (lambda v, s: True, "it returns a bool where a tensor of shape"),
    (lambda v, s: 1 / 0, "It raises ZeroDivisionError: division by zero, for values"),
    (lambda v: v, "It raises TypeError: .*takes 1 positional argument"),
    (leaving, "It raises SystemExit: bye"),
    (changing, "It changes its input values: let it compute with a copy."),
    (printing, "It prints and returns nothing: let it end with return."),
    (lambda v, s: print(s) or v.mean(), "What it prints is left out here."),
    (lambda v, s: None, "Not answered yet."),
    (3.0, "It is a number where a function is asked for: its name, no brackets."),
    (endless, "It has not come to its end after 0.2 s"),
]


@pytest.mark.slow
@pytest.mark.parametrize("thread", [False, True], ids=["main", "thread"])
@pytest.mark.parametrize(("function", "sentence"), ASTRAY)
def test_code_that_goes_astray_is_one_sentence(function, sentence, thread, monkeypatch, capsys):
    if function is endless and thread:
        pytest.skip("its thread would go on as long as the tests")
    monkeypatch.setattr(kinds, "LIMIT", 0.2)
    found = []
    if thread:
        worker = threading.Thread(target=lambda: found.append(TOTAL.fault(function)))
        worker.start(), worker.join()
    else:
        found.append(TOTAL.fault(function))
    assert re.search(sentence, found[0]) and "\n" not in found[0]
    assert capsys.readouterr().out == ""


def test_numbers_of_any_make_are_taken_and_chance_is_left_as_it_was():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    assert TOTAL.fault(lambda v, s: s * sum(v.tolist())) is None
    assert TOTAL.fault(lambda v, s: (s * v.double().requires_grad_().sum()).numpy) is not None
    assert torch.equal(torch.rand(1), expected)


def test_a_call_without_end_is_left_in_a_thread_too():
    release, found = threading.Event(), []

    def call():
        try:
            limits.limited(lambda: release.wait(30), 0.1)
        except limits.TimeUp:
            found.append(time.monotonic())

    begun = time.monotonic()
    worker = threading.Thread(target=call)
    worker.start(), worker.join()
    release.set()
    assert 0.1 <= found[0] - begun < 20


def test_unknown_exercise_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"01\.first-number"):
        check("01.no-such-exercise", 1)
