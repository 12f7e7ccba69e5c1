"""Answers come out closed, in order, comparable, and not at the price of an error."""

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML

from helpers.course.answers import answer


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    shell.display_pub = CapturingDisplayPublisher()
    shell.user_ns |= {"answer": answer, "HTML": HTML}
    yield shell
    InteractiveShell.clear_instance()


def outputs(shell):
    return [output["data"] for output in shell.display_pub.outputs]


def test_what_is_shown_comes_in_one_closed_fold_in_its_order(shell):
    cell = "with answer('Guess'):\n    print('a < b')\n    display(HTML('<b>7</b>'))\n    print(8)"
    assert shell.run_cell(cell).success
    (shown,) = outputs(shell)
    assert shown["text/html"].startswith("<details><summary>Guess</summary><pre>a &lt; b\n</pre>")
    assert shown["text/html"].endswith("<b>7</b><pre>8\n</pre></details>")
    assert "open" not in shown["text/html"]
    first, last = shown["text/plain"].splitlines()[0], shown["text/plain"].splitlines()[-1]
    assert (first, last) == ("a < b", "8")


def test_what_came_before_an_error_is_kept_and_the_next_cell_prints_as_ever(shell, capsys):
    assert not shell.run_cell("with answer():\n    print('so far')\n    1 / 0").success
    assert "so far" in outputs(shell)[0]["text/plain"]
    assert shell.run_cell("print('free')").success
    assert "free" in capsys.readouterr().out
    assert len(outputs(shell)) == 1


def test_an_answer_that_shows_nothing_leaves_nothing(shell):
    assert shell.run_cell("with answer():\n    seven = 7").success
    assert outputs(shell) == []
    assert shell.user_ns["seven"] == 7


def test_outside_a_notebook_it_prints(capsys):
    with answer():
        print("plain")
    assert capsys.readouterr().out == "plain\n"
