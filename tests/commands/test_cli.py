"""make and `python -m helpers` are two names for one thing."""

import re

from helpers.evidence.files import ROOT

FOR_CONTRIBUTORS = {  # targets that have no twin: what surrounds the course
    *("help", "setup", "check", "nightly", "mutants", "lint", "anatomy", "nbval", "site"),
    *("bench", "bench-many", "lock", "clean", "distclean"),
}


def test_what_readers_and_teachers_make_python_does_too():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.M))
    called = set(re.findall(r"\$\(COURSE\) ([a-z-]+)", makefile))
    assert targets - called == FOR_CONTRIBUTORS
