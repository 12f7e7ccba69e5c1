"""The rules of the second form see what is wrong with a notebook, and nothing where nothing is."""

import re

import nbformat
import pytest
from anatomy import complaints
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PICTURE = new_output(
    "display_data", {"text/html": '<img alt="The line goes up, from 1 to 2." src="data:x">'}
)


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def printed(text):
    return new_output("stream", name="stdout", text=text)


def section(number):
    return [
        new_markdown_cell(f"## {number}. An idea\n\nA sentence.\n\n**Predict.** How many?"),
        code(f"my_guess = None\nexercises.check('x{number}', my_guess)"),
        new_markdown_cell("<details>Twelve.</details>"),
        code("print(3)", printed("3 = 3\n")),
    ]


def good():
    """A notebook of the second form, as small as can be."""
    first = "# 01 · Filters\n\n<!-- opening -->\n**Why?**\n<!-- end of opening -->"
    asked = ["01.output-size", "01.same-padding", "01.convolve", "01.field-of-a-stack"]
    return new_notebook(
        cells=[
            new_markdown_cell(first),
            code("import sys", tags=["folded"]),
            code("lab = Lab('01')", tags=["folded"]),
            code("lab.hero('a', draw)", PICTURE),
            *(cell for number in range(1, 5) for cell in section(number)),
            new_markdown_cell(
                "## Three things to remember\n\n1. One is 1.\n2. Two is 2.\n3. Three is 3.\n\n"
                "## Exercises\n\nDo them."
            ),
            code("\n".join(f'exercises.check("{name}", None)' for name in asked)),
            new_markdown_cell("Now overturn it."),
            code("lab.experiment('mine')", tags=["overturn"]),
            code("lab.close()"),
        ]
    )


def test_a_notebook_of_the_second_form_has_no_complaint():
    assert list(complaints(good())) == []


def put(where, cell):
    return lambda cells: cells.insert(where, cell)


def edit(where, old, new):
    def change(cells):
        assert old in cells[where].source
        cells[where].source = cells[where].source.replace(old, new)

    return change


def untag(where):
    return lambda cells: cells[where].metadata.tags.clear()


ODD = [
    (edit(0, "# 01 · ", "# "), "does not begin with a title"),
    (edit(0, "<!-- opening -->", ""), "has no opening"),
    (lambda cells: cells[3].outputs.clear(), "no hero picture"),
    (untag(1), "code cell 1 belongs to the set-up"),
    (edit(16, "## 4.", "## 5."), r"sections are \[1, 2, 3, 5\]"),
    (edit(16, "## 4. An", "An"), r"sections are \[1, 2, 3\]"),
    (edit(8, "An idea", "An idea\n\n#### deep"), "do not descend"),
    (lambda cells: [cells.insert(7, code("a")) for _ in range(3)], "4 code cells without a sent"),
    (edit(8, "An idea", "An idea, as in section 7"), "there is no section 7"),
    (put(7, code("my_guess = None")), "no question stands before 'my_guess"),
    (put(7, code('my_own = None\nexercises.check("a", my_own)')), "stands before 'my_own"),
    (put(7, code("a\n" * 16)), "a cell of 16 lines"),
    (lambda cells: [edit(k, "(", "(\n\n\n\n\n")(cells) for k in range(5, 20, 2)], "has [56]"),
    (edit(6, "<details>Twelve.</details>", "### Next"), "my_guess of .* is never answered"),
    (edit(20, "Three things to remember", "The end"), "its last headings are not"),
    (edit(20, "Two is 2", "Two is two"), "three things to remember, each with a number"),
    (edit(21, "01.convolve", "01.first-number"), "1 exercises in code, at least 2"),
    (edit(21, "01.same-padding", "01.unknown"), "1 exercises quick, at least 2"),
    (untag(23), "tagged overturn"),
    (put(24, code("1")), None),
    (put(25, code("1")), "its last cell is not lab.close"),
    (put(8, code("a == b", printed("equal: True\nFalse\n"))), "nothing but True or False"),
    (put(8, code("a == b", printed("equal: True, 3\n"))), None),
    (put(8, code("def lab():\n    return 1")), "lab, which .* reads, is another in 'def lab"),
    (put(8, code("lab |= 1")), None),
    (put(8, code("def one():\n    lab = 1\n    return lab")), None),
    (put(8, code("a", new_output("display_data", {"text/html": "<img src=x>"}))), "no alt text"),
    (put(8, code("a", new_output("display_data", {"text/html": "<svg></svg>"}))), "has no title"),
    (put(8, new_markdown_cell("word " * 9000)), "reading takes 4[6-9] minutes"),
    (put(8, new_markdown_cell("x" * 600_000)), "at most 600"),
    (put(8, code("a\n" * 99, tags=["folded"])), None),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "complaint"), ODD)
def test_each_rule_sees_what_is_wrong(spoil, complaint):
    notebook = nbformat.from_dict(good())
    spoil(notebook.cells)
    found = list(complaints(notebook))
    if complaint is None:
        assert found == []
    else:
        assert [text for text in found if re.search(complaint, text)] and len(found) <= 2
