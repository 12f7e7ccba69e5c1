"""What an exercise is: how to tell a right answer, a hint, and the solution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """How to tell a right answer, a hint that does not give it away, and the solution."""

    right: Callable[[Any], bool]
    hint: str
    solution: str
    example: Any = None  # an answer that is right


def number(expected: float, within: float = 1e-6) -> Callable[[Any], bool]:
    """A check that an answer is the number `expected`, give or take `within`."""
    return lambda answer: abs(float(answer) - expected) <= within
