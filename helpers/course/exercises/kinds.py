"""Kinds of exercises, as data: each knows a right answer from a wrong one and says what is wrong.

`fault` is None for a right answer, else a sentence about what is wrong, which may be empty. Nothing
that a reader hands in makes it raise.
"""

import inspect
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import torch

from helpers.course.exercises.comparing import differs, kind, said
from helpers.course.exercises.limits import LIMIT, TimeUp, limited

UNANSWERED = "Not answered yet."


@dataclass(frozen=True)
class Quick:
    """A number, a word or a short list; a set where the order does not matter.

    `within` is how far a number may be off. `mistakes` maps a sentence to the wrong answer it is
    said of. `accepts` decides in the place of `answer` where many answers are right.
    """

    answer: Any
    hint: str
    solution: str
    within: float = 1e-6
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    accepts: Callable[[Any], bool] | None = None

    @property
    def praise(self) -> str:
        """What is said of a right answer."""
        return self.solution

    def fault(self, answer: Any) -> str | None:
        """None for a right answer, else what is wrong with it."""
        if answer is None:
            return UNANSWERED
        if self._right(answer):
            return None
        for text, wrong in self.mistakes.items():
            if self._equals(answer, wrong):
                return text
        given, asked = kind(_plain(answer)), kind(_plain(self.answer))
        return "" if given == asked else f"It is {given} where {asked} is asked for."

    def _right(self, answer: Any) -> bool:
        if self.accepts is None:
            return self._equals(answer, self.answer)
        try:
            return bool(self.accepts(answer))
        except Exception:  # whatever a reader's answer does, the notebook goes on
            return False

    def _equals(self, answer: Any, other: Any) -> bool:
        given = _plain(answer)
        if isinstance(other, set) and isinstance(given, list):
            given = sorted(given, key=str)
        return not differs(given, _plain(other), self.within, 0)


def _plain(answer: Any) -> Any:
    """An answer with its words in lower case, and sets, which have no order, in one."""
    if isinstance(answer, str):
        return " ".join(answer.lower().split())
    if isinstance(answer, set):
        return sorted(map(_plain, answer), key=str)
    return [_plain(part) for part in answer] if isinstance(answer, list | tuple) else answer


class Trouble(Exception):
    """What a function did instead of returning an answer, as a sentence."""


@dataclass(frozen=True)
class Code:
    """A function that the reader writes, compared with `oracle` on random inputs.

    `inputs(generator)` draws one case, the positional arguments, with shapes that differ from case
    to case. `mistakes` maps a sentence in plain words to a function that is wrong in a typical way.
    `solution` is a readable function that equals the oracle, where that is a call of PyTorch.
    `within` is the tolerance, absolute and relative.
    """

    oracle: Callable
    inputs: Callable[[torch.Generator], tuple]
    mistakes: Mapping[str, Callable]
    hint: str
    readable: Callable | None = None
    cases: int = 8
    within: float = 1e-4
    equals: str = "PyTorch"  # what the oracle is

    @property
    def shown(self) -> Callable:
        return self.readable or self.oracle

    @property
    def praise(self) -> str:
        """What is said of a right answer."""
        return f"It equals {self.equals} on {self.cases} random inputs."

    @property
    def solution(self) -> str:
        """The source of a function that is right."""
        return inspect.getsource(self.shown).strip()

    def fault(self, answer: Any) -> str | None:
        """None for a function that is right, else what is wrong with it."""
        if answer is None:
            return UNANSWERED
        if not callable(answer):
            return f"It is {kind(answer)} where a function is asked for: its name, no brackets."
        with torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()) as printed:
            right = self._answers(self.oracle)
            try:
                found = self._compared(limited(lambda: self._answers(answer), LIMIT), right)
            except TimeUp:
                found = f"It has not come to its end after {LIMIT:g} s: look at its loops."
            except Trouble as trouble:
                found = str(trouble)
        if not printed.getvalue() or found is None:
            return found
        if found == UNANSWERED:
            return "It prints and returns nothing: let it end with return."
        return f"{found} What it prints is left out here."

    def _case(self, number: int) -> tuple:
        """The arguments of a case, drawn afresh."""
        torch.default_generator.manual_seed(number)  # for networks in it, functions that draw
        return self.inputs(torch.Generator().manual_seed(number))

    def _answers(self, function: Callable) -> list:
        """What a function returns, case by case. Raises Trouble where it does something else."""
        answers = []
        for number in range(self.cases):
            arguments = self._case(number)
            try:
                answers.append(function(*arguments))
            except (Exception, SystemExit) as error:
                first = next(iter(str(error).splitlines()), "")
                what = f"{type(error).__name__}: {first}".rstrip(": .")
                raise Trouble(f"It raises {what}, for {self._described(number)}.") from None
            for name, after, before in zip(
                self._names(), arguments, self._case(number), strict=True
            ):
                if differs(after, before, 0):
                    raise Trouble(f"It changes its input {name}: let it compute with a copy.")
        return answers

    def _compared(self, answers: list, right: list) -> str | None:
        if all(answer is None for answer in answers):
            return UNANSWERED
        unlike = next(self._unlike(answers, right), None)
        if unlike is None:
            return None
        for text, wrong in self.mistakes.items():
            if not any(self._unlike(answers, self._answers(wrong))):
                return text
        number, text = unlike
        return f"For {self._described(number)} it returns {text}."

    def _unlike(self, answers: list, others: list) -> Iterator[tuple[int, str]]:
        """The cases in which answers differ, and in what."""
        for number, (answer, other) in enumerate(zip(answers, others, strict=True)):
            if text := differs(answer, other, self.within):
                yield number, text

    def _names(self) -> list[str]:
        return list(inspect.signature(self.shown).parameters)[: len(self._case(0))]

    def _described(self, number: int) -> str:
        pairs = zip(self._names(), self._case(number), strict=True)
        return ", ".join(f"{name} {said(value)}" for name, value in pairs)


Exercise = Quick | Code


def whole_numbers(generator: torch.Generator, *ranges: tuple[int, int]) -> list[int]:
    """A whole number from each range (low, high), below high: the sizes of a case."""
    return [int(torch.randint(low, high, (), generator=generator)) for low, high in ranges]
