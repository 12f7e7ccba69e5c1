"""Every figure: a small SVG for light and dark pages, its finding beneath it, always the same."""

import html
import inspect
import itertools
import re
import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from images import Drawing, contrast
from matplotlib.text import Text

from helpers import figures
from helpers.figures import plots, style, svg

ALT = "What the figure shows: a finding."
NAN, INF = float("nan"), float("inf")


def frame(columns: Sequence[str], rows: int = 8) -> pd.DataFrame:
    values = np.random.default_rng(0).uniform(0.5, 1, (rows, len(columns)))
    return pd.DataFrame(values, index=range(1, rows + 1), columns=list(columns))


PICTURES = torch.linspace(-1, 2, 4 * 25).reshape(4, 5, 5)

DRAW = {
    "matrices": lambda: figures.matrices(
        {"in": torch.eye(5), "by": torch.ones(3, 3)}, ALT, decimals=1
    ),
    "pictures": lambda: figures.pictures({"a": PICTURES, "b": PICTURES[:2]}, ALT, titles="wxyz"),
    "coloured_text": lambda: figures.coloured_text(
        "To be,\nor $not$\n\n to be", torch.linspace(-1, 3, 23), ALT, bar="nats", columns=5
    ),
    "descents": lambda: figures.descents(
        np.square, {"a": [1, 0.5, 0], "b": [1, -1]}, ALT, domain=(-2, 2), xlabel="x", ylabel="y"
    ),
    "heatmap": lambda: figures.heatmap(
        PICTURES[0], ALT, xlabel="x", ylabel="y", bar="share", yticks="vwxyz"
    ),
    "bars": lambda: figures.bars(
        {"$a": pd.Series({"x": 0.5, "y *": 0.2}), "b": pd.Series({"$": 1.0})}, ALT, xlabel="share"
    ),
    "curves": lambda: figures.curves(
        {"RNN": frame(("1", "2")), "LSTM": frame(("1",))},
        ALT,
        xlabel="updates",
        ylabel="loss",
        threshold=0.8,
        log="xy",
    ),
    "rates": lambda: figures.rates(
        {"RNN": frame(("1", "2")) > 0.7, "LSTM": frame(("1",)) > 0.7}, ALT, xlabel="length"
    ),
    "unrolled": lambda: figures.unrolled(
        ["x1", "x2", "x3"], ["h1", "h2", "h3"], ALT, weights=("a", "b"), cuts=(2,)
    ),
    "dots": lambda: figures.dots(frame(("a", "b")), ALT, xlabel="accuracy", threshold=0.7),
    "explore": lambda: figures.explore(draw_chosen, arm=["a", "b"]),
}


def draw_chosen(arm: str = "a") -> None:
    figures.dots(frame((arm,)), ALT, xlabel="accuracy")


def drawn(shown: list[dict]) -> Drawing:
    """The last figure."""
    return Drawing(shown[-1]["text/html"])


# ---------------------------------------------------------------- every figure


def test_every_figure_is_tested():
    public = {
        name
        for name, member in inspect.getmembers(figures, inspect.isfunction)
        if member.__module__.startswith(figures.__name__) and not name.startswith("_")
    }
    others = {"show", "blank", "picture", "strip", "styled", "looks", "table"}
    assert public - others == set(DRAW)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_a_small_svg_that_states_its_finding(name, shown):
    DRAW[name]()
    DRAW[name]()
    assert shown[0] == shown[1]
    assert shown[0]["text/plain"] == ALT
    assert f"<figcaption>{ALT}</figcaption>" in shown[0]["text/html"]
    figure = drawn(shown)
    assert figure.alt == ALT and 1 < figure.width <= 9.2 and 0.5 < figure.height <= 9
    assert len(figure.source) < 45_000 and len(figure.texts) >= 2
    sizes = re.findall(r"font-size:([\d.]+)px(?!;font-family:monospace)", figure.source)
    assert min(map(float, sizes)) >= 6  # exponents


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAW)
def test_ink_and_paper_change_in_the_dark(name, shown):
    DRAW[name]()
    figure = drawn(shown)
    for colours, sheet in ((svg.LIGHT, str(figure.styles)), (svg.DARK, figure.dark)):
        ink, paper = colours.values()
        assert ink in sheet and paper in sheet
    assert "#000000" not in figure.source
    words = {text.get("class") for text in figure.root.iter("{http://www.w3.org/2000/svg}text")}
    fixed = [figure.styles[f".{word}"] for word in words if word]
    assert all("fill" not in text or "#1f2328" in text.lower() for text in fixed)


@pytest.mark.slow
@pytest.mark.parametrize("odd", ["<script>&'\"", "$5 or $6", r"$\frac$", "_x", "--> ]]>", "a\0b"])
def test_what_is_shown_survives_odd_words(odd, shown):
    alt = f"a < b & {odd}"
    two = {odd: frame("1"), "b": frame("1")}
    drawings = {
        "dots": lambda: figures.dots(frame((odd, "b")), alt, xlabel="x & y"),
        "curves": lambda: figures.curves(two, alt, xlabel="x & y", ylabel="y"),
        "rates": lambda: figures.rates(two, alt, xlabel="x & y"),
        "descents": lambda: figures.descents(
            np.square, {odd: [0], "b": [1]}, alt, domain=(-1, 1), xlabel="x & y", ylabel="y"
        ),
    }
    for draw in drawings.values():
        draw()
        assert html.unescape(drawn(shown[-1:]).alt) == alt == shown[-1]["text/plain"]
        texts = [text.strip("\N{ZERO WIDTH SPACE}") for text in drawn(shown[-1:]).texts]
        assert {odd.replace("\0", "\N{REPLACEMENT CHARACTER}"), "x & y"} <= set(texts)


@pytest.mark.slow
def test_a_notebooks_own_figures_keep_their_style(shown):
    for draw in DRAW.values():
        draw()
    for key in style.STYLE:
        assert matplotlib.rcParams[key] == matplotlib.rcParamsDefault[key]


# ---------------------------------------------------------------- who has which colour


@pytest.mark.parametrize("page", [svg.LIGHT["#ffffff"], svg.DARK["#ffffff"]])
def test_colours_stand_out_from_every_page(page):
    for colour in (*figures.COLOURS, figures.GREY, figures.ACCENT):
        assert contrast(colour, page) >= 3
    ink = {svg.LIGHT["#ffffff"]: svg.LIGHT, svg.DARK["#ffffff"]: svg.DARK}[page]["#000000"]
    assert contrast(ink, page) >= 7


def test_the_palette_tells_eight_apart():
    assert len(set(figures.COLOURS)) == len(set(figures.LINES)) == len(set(figures.MARKERS)) == 8
    channels = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in figures.COLOURS]
    for one, other in itertools.combinations(np.array(channels), 2):
        assert abs(one - other).sum() > 40


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("LSTM, forget bias 1", "LSTM"),
        ("plain RNN", "RNN"),
        ("CNN, window 5, all steps", "CNN"),
        ("LSTM / narrow CNN", "LSTM"),
        ("MLP", "dense"),
        ("logistic regression", "linear"),
        ("3-gram", "counts"),
        ("conv1 random", "frozen"),
        ("no clipping", "none"),
    ],
)
def test_an_architecture_has_one_look(name, like):
    alone = figures.looks([like])[like]
    assert figures.looks([name])[name] == alone
    both = figures.looks(["GRU", like, name])
    assert both[like] == alone and both[name].colour == alone.colour
    assert both[name].line != alone.line and both[name].marker != alone.marker


def test_unknown_arms_take_the_colours_that_are_left():
    found = figures.looks(["CNN", "LSTM", *"abcdef", "none"])
    assert len({look.colour for look in found.values()}) == 9
    assert found["none"].colour == figures.GREY
    both = figures.looks(["stored", "yours"])
    assert [look.colour for look in both.values()] == [figures.INK, figures.ACCENT]
    assert len(figures.looks(map(str, range(30)))) == 30


def test_what_became_of_a_run_has_one_look():
    words = ["fine", "unfinished", "spiked", "collapsed", "diverged"]
    found = figures.looks(words)
    assert found == {word: figures.looks([word])[word] for word in words}
    assert len({look.marker for look in found.values()}) == len(words)


# ---------------------------------------------------------------- what single figures promise


@pytest.mark.parametrize(("scale", "black"), [("shared", False), ("row", True), ("each", True)])
def test_pictures_stretch_contrast_only_within_their_scale(scale, black, shown):
    """A row of values between 1 and 2 beside one from 0 to 2: black only on its own scale."""
    low, high = torch.tensor([[[0.0, 2], [0, 2]]]), torch.tensor([[[1.0, 2], [1, 2]]])
    figures.pictures({"": low, " ": high}, ALT, scale=scale)
    darkest = np.asarray(drawn(shown).pictures()[1]).min()
    assert (darkest < 20) == black


def test_signed_pictures_show_zero_as_white(shown):
    zero, half = torch.zeros(1, 3, 3), torch.tensor([[[-1.0, 0, 1]] * 3])
    figures.pictures({"": torch.cat([zero, half])}, ALT, signed=True)
    flat, sides = map(np.asarray, drawn(shown).pictures())
    assert flat.min() > 240
    (_, low_g, low_b), middle, (high_r, _, high_b) = sides.astype(int)[0]
    assert low_b - low_g > 60 and middle.min() > 240 and high_r - high_b > 100  # purple to orange


def test_pixels_stay_as_they_are(shown):
    values = torch.rand(28, 28)
    values = (values - values.min()) / (values.max() - values.min())
    figures.pictures({"": values[None]}, ALT)
    (image,) = drawn(shown).pictures()
    assert abs(np.asarray(image)[..., 0] / 255 - values.numpy()).max() < 0.01
    assert "image-rendering:pixelated" in drawn(shown).source


NOTHING = {
    "pictures": lambda bad: figures.pictures({"a": PICTURES * bad}, ALT),
    "no pictures": lambda bad: figures.pictures({}, ALT),
    "matrices": lambda bad: figures.matrices({"a": torch.full((2, 2), bad)}, ALT),
    "heatmap": lambda bad: figures.heatmap(PICTURES[0] * bad, ALT, xlabel="", ylabel="", bar=""),
    "bars": lambda bad: figures.bars({"a": pd.Series({"b": bad})}, ALT, xlabel=""),
    "text": lambda bad: figures.coloured_text("abc", torch.full((3,), bad), ALT, bar=""),
    "curves": lambda bad: figures.curves({"a": frame("1") * bad}, ALT, xlabel="", ylabel=""),
    "no curves": lambda bad: figures.curves({}, ALT, xlabel="", ylabel=""),
    "dots": lambda bad: figures.dots(frame("ab") * bad, ALT, xlabel=""),
    "no dots": lambda bad: figures.dots(pd.DataFrame(), ALT, xlabel=""),
    "rates": lambda bad: figures.rates({"a": frame("1") * NAN}, ALT, xlabel=""),
    "descents": lambda bad: figures.descents(
        np.square, {"a": [bad]}, ALT, domain=(-2, 2), xlabel="x", ylabel="y"
    ),
}


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_can_be_drawn_a_sentence_says_so(name, bad, shown):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NOTHING[name](bad)
    (data,) = shown
    assert data["text/plain"].startswith("Nothing to draw here") and ALT in data["text/plain"]
    assert "<img" not in data["text/html"]


HOLES = {
    "pictures": lambda: figures.pictures({"a": PICTURES * NAN, "b": PICTURES}, ALT, scale="each"),
    "heatmap": lambda: figures.heatmap(
        torch.tensor([[NAN, 1], [2, 3]]), ALT, xlabel="class", ylabel="channel", bar="selectivity"
    ),
    "curves": lambda: figures.curves(
        {"a": frame(("1", "2")).assign(**{"2": NAN}), "b": frame("1") * NAN, "c": frame("1") * 0},
        ALT,
        xlabel="x",
        ylabel="y",
        log="y",
    ),
    "dots": lambda: figures.dots(frame("abc").assign(b=NAN, c=INF), ALT, xlabel="x"),
    "constant dots": lambda: figures.dots(frame("ab") * 0 + 1, ALT, xlabel="x", limits=(0, 1)),
    "rates": lambda: figures.rates({"a": frame("12").assign(**{"1": NAN}) > 0.7}, ALT, xlabel="x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOLES)
def test_dead_channels_and_diverged_runs_leave_holes(name, shown):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HOLES[name]()
    assert "nan" not in drawn(shown).source.lower()


@pytest.mark.slow
@pytest.mark.parametrize("guess", ["half", (0.5, 0.6), NAN, True, ...])
def test_an_odd_guess_is_a_sentence_and_the_figure_goes_on(guess, shown, capsys):
    figures.dots(frame("ab"), ALT, xlabel="x", guess=guess)
    figures.curves({"a": frame("1")}, ALT, xlabel="x", ylabel="y", guess=guess)
    figures.rates({"a": frame("1") > 0.7}, ALT, xlabel="x", guess=guess)
    assert capsys.readouterr().out.count("is not a number, so it is not drawn") == 3
    assert not any("your guess" in Drawing(data["text/html"]).texts for data in shown)


@pytest.mark.slow
@pytest.mark.parametrize("guess", [0, -1.0])
def test_no_guess_lies_at_zero_of_a_logarithmic_axis(guess, shown, capsys):
    figures.dots(frame("ab"), ALT, xlabel="x", log="x", guess=guess)
    figures.curves({"a": frame("1")}, ALT, xlabel="x", ylabel="y", log="y", guess=guess)
    assert capsys.readouterr().out.count("is not above 0, so it is not drawn") == 2
    assert not any("your guess" in Drawing(data["text/html"]).texts for data in shown)


@pytest.mark.slow
@pytest.mark.parametrize("guess", [0, 0.6, np.float32(0.7), np.int64(1)])
def test_a_guess_is_drawn(guess, shown, capsys):
    figures.dots(frame("ab"), ALT, xlabel="x", guess=guess)
    assert "your guess" in drawn(shown).texts and drawn(shown).count(figures.ACCENT) >= 2
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("cell", [NAN, INF])
def test_a_dead_cell_leaves_a_heatmap_its_scale(cell, shown):
    pixels = []
    for value in (0.0, cell):
        values = torch.tensor([[value, -1], [0.5, 1]])
        figures.heatmap(values, ALT, xlabel="x", ylabel="y", bar="b")
        pixels.append(np.asarray(drawn(shown).pictures()[0]).reshape(-1, 3)[1:])
    assert (pixels[0] == pixels[1]).all()


def test_a_live_reader_chooses_what_is_drawn(monkeypatch):
    monkeypatch.delenv("OUTPUTS", raising=False)
    shown, drawn = [], []
    monkeypatch.setattr(style, "display", shown.append)
    figures.explore(lambda temperature=0.5: drawn.append(temperature), temperature=(0.1, 0.5, 1.0))
    (choice, _) = shown[0].children
    assert (choice.options, choice.value, drawn) == ((0.1, 0.5, 1.0), 0.5, [0.5])
    choice.value = 1.0
    assert drawn == [0.5, 1.0]
    assert float(choice.style.description_width.removesuffix("ch")) > len("temperature")


@pytest.mark.parametrize("where", [("OUTPUTS", "stored"), ("KAGGLE_KERNEL_RUN_TYPE", "Batch")])
def test_where_nobody_can_choose_the_defaults_are_drawn(where, monkeypatch):
    monkeypatch.delenv("OUTPUTS", raising=False)
    monkeypatch.setenv(*where)
    calls = []
    figures.explore(lambda arm="a": calls.append(arm), arm=("b", "a"))
    assert calls == ["a"]


def test_coloured_text_needs_a_value_for_every_character(shown):
    for text, count in (("abc", 2), ("", 0)):
        with pytest.raises(ValueError, match="one each"):
            figures.coloured_text(text, torch.zeros(count), ALT, bar="nats")


@pytest.mark.slow
def test_coloured_text_breaks_lines_where_the_text_does(shown):
    for text in ("abcdef", "abc\nde", "a\nb\nc\n"):
        figures.coloured_text(text, torch.ones(6), ALT, bar="nats", columns=6)
    heights = [Drawing(data["text/html"]).height for data in shown]
    assert heights[0] < heights[1] < heights[2]


# ---------------------------------------------------------------- honest intervals


def table_of(*columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(dict(zip("abcdef", columns, strict=False)))


GROUPS = [0.1, 0.11, 0.12, 0.13, 0.97, 0.98, 0.99, 1.0]
ONE = [0.5, 0.52, 0.53, 0.55, 0.56, 0.6]


@pytest.mark.parametrize(
    ("values", "limits", "drawn_"),
    [
        (ONE, None, True),
        (ONE[:5], None, False),
        (GROUPS, None, False),
        ([0.99, 0.99, 1.0, 1.0, 1.0, 0.93], (0, 1), False),
        ([0.99, 0.99, 1.0, 1.0, 1.0, 0.93], None, True),
    ],
)
def test_an_interval_is_drawn_where_it_means_something(values, limits, drawn_, axes):
    figures.dots(table_of(values), ALT, xlabel="x", limits=limits)
    assert ("interval" in axes[0].get_title()) == drawn_
    dots = [line for line in axes[0].lines if line.get_marker() not in ("None", "|")]
    assert sorted(x for line in dots for x in line.get_xdata()) == sorted(values)


def test_ratios_have_a_logarithmic_axis_and_a_geometric_mean(axes):
    """1, 2 and 4 have 2, not 2.3; a ratio of 0 has no place."""
    ratios = [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]
    figures.dots(table_of([*ratios, 0.0]), ALT, xlabel="x", log="x", threshold=0.5, guess=3)
    assert axes[0].get_xscale() == "log" and "geometric mean" in axes[0].get_title()
    assert 0.4 < axes[0].get_xlim()[0] < 0.5 and 4 < axes[0].get_xlim()[1] < 5
    (middle,) = (line.get_xdata() for line in axes[0].lines if line.get_marker() == "|")
    assert middle == pytest.approx([2.0])
    low, high = next(line.get_xdata() for line in axes[0].lines if line.get_linewidth() == 1.5)
    assert low * high == pytest.approx(4.0) and 1 < low < 2
    dots = [line for line in axes[0].lines if line.get_marker() == "o"]
    assert sorted(x for line in dots for x in line.get_xdata()) == sorted(ratios)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "said"), [(1, ""), (5, "thin: single"), (6, "band: smallest")])
def test_few_seeds_are_lines_and_many_a_band(seeds, said, axes):
    figures.curves({"LSTM": frame([str(k) for k in range(seeds)])}, ALT, xlabel="x", ylabel="y")
    assert said in axes[0].get_title()
    assert len(axes[0].lines) == (1 + seeds if seeds == 5 else 1)
    assert len(axes[0].collections) == (seeds >= 6)


def test_networks_trained_here_stand_out(axes):
    table = table_of(ONE, ONE)
    table.attrs = {"here": [2], "own": False}
    figures.dots(table, ALT, xlabel="x")
    large = [line for line in axes[0].lines if line.get_markersize() > 6 and len(line.get_xdata())]
    assert [line.get_xdata()[0] for line in large if line.get_marker() != "|"] == [ONE[2]] * 2
    assert "trained here" in axes[0].get_title()
    table.attrs["own"] = True
    figures.dots(table, ALT, xlabel="x")
    assert "your own experiment" in axes[1].get_title()


@pytest.mark.slow
def test_names_stand_at_the_ends_of_lines_and_apart(axes):
    close = {name: frame("1") * 0 + 1 + k / 1000 for k, name in enumerate(("RNN", "LSTM", "GRU"))}
    figures.curves(close, ALT, xlabel="x", ylabel="y", threshold=3)
    axis = axes[0]
    axis.figure.draw_without_rendering()
    assert axis.get_legend() is None
    assert [text.get_text() for text in axis.texts] == ["RNN", "LSTM", "GRU", "threshold"]
    boxes = [Text.get_window_extent(text) for text in axis.texts]  # without their leaders
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x0 >= axis.get_window_extent().x1 for box in boxes)
    assert all(box.x1 <= axis.figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize(
    "lines",
    [
        {"a": frame("1"), "b": frame("1").iloc[:4]},  # one ends early
        {f"window {k}": frame("1") for k in range(20)},
        {"a": frame("1"), "a name that is far too long to stand beside its line": frame("1")},
    ],
)
def test_a_legend_names_lines_that_leave_no_room(lines, axes):
    figures.curves(lines, ALT, xlabel="x", ylabel="y")
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == list(lines)


@pytest.fixture
def axes(monkeypatch):
    """The first axes of every figure shown."""
    kept = []
    monkeypatch.setattr(plots, "show", lambda figure, alt: kept.append(figure.axes[0]))
    return kept


def test_few_places_on_a_logarithmic_axis_are_labelled_one_by_one(axes):
    lines = {"RNN": pd.DataFrame({"seed": [1.0, 2.0, 4.0]}, index=[64, 128, 256])}
    figures.curves(lines, ALT, xlabel="steps", ylabel="milliseconds", log="xy")
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["64", "128", "256"]


@pytest.mark.parametrize("mark", ["threshold", "guessing"])
def test_the_dotted_line_is_called_what_it_is(mark, axes):
    named = {} if mark == "threshold" else {"mark": mark}
    figures.curves({"": frame(("1",))}, ALT, xlabel="x", ylabel="y", threshold=0.7, **named)
    figures.dots(frame(("a", "b")), ALT, xlabel="x", threshold=0.7, **named)
    assert mark in [text.get_text() for text in axes[0].texts]
    assert mark in [text.get_text() for text in axes[1].get_legend().get_texts()]


def test_a_legend_set_aside_covers_no_line(axes):
    figures.curves(
        {"a": frame(("1",)), "b": frame(("2",))}, ALT, xlabel="x", ylabel="y", aside=True
    )
    axes[0].figure.draw_without_rendering()
    assert axes[0].get_legend().get_window_extent().x0 >= axes[0].get_window_extent().x1


def test_pairs_are_joined_by_lines_from_dot_to_dot(axes):
    table = frame(("a", "b", "c"))
    table.loc[2, "b"] = np.nan  # diverged: nothing to join there
    figures.dots(table, ALT, xlabel="x", paired=True)
    pairs = [line for line in axes[0].lines if line.get_linestyle() == "-"][-len(table) :]
    np.testing.assert_array_equal([line.get_xdata() for line in pairs], table)
    dots = [line.get_xydata() for line in axes[0].lines if line.get_marker() not in ("None", "|")]
    ends = [point for line in pairs for point in line.get_xydata() if np.isfinite(point).all()]
    assert {tuple(point) for point in ends} == {tuple(p) for dots in dots for p in dots}
    assert "line: a pair" in axes[0].get_title()


@pytest.mark.slow
def test_few_decades_are_labelled_with_plain_numbers(axes):
    lines = {"RNN": pd.DataFrame({"seed": [20.0, 400.0]}, index=[0.1, 1.0])}
    figures.curves(lines, ALT, xlabel="rate", ylabel="loss", log="xy")
    assert "50" in [label.get_text() for label in axes[0].get_yticklabels()]
    wide = pd.DataFrame({"seed": [1.0] * 8}, index=np.geomspace(1e-9, 1, 8))
    figures.curves({"RNN": wide}, ALT, xlabel="rate", ylabel="loss", log="x")
    assert any("10^" in label.get_text() for label in axes[1].get_xticklabels())


# ---------------------------------------------------------------- tables


def test_a_table_says_what_its_numbers_are_as_page_and_as_text(shown):
    columns = pd.Index(["CNN", "<RNN>"], name="arm")
    figures.table(pd.DataFrame([[0.91, NAN], [0.5, 0.25]], [4, 8], columns), "right & left")
    (found,) = shown
    assert found["text/plain"].splitlines() == [
        "right & left",
        "    CNN  <RNN>",
        "4  0.91       ",
        "8  0.50   0.25",
    ]
    page = found["text/html"]
    assert re.search(r"<table[^>]*>\s*<caption[^>]*>right &amp; left</caption>", page)
    assert re.findall(r"<th>(.*?)</th>", page) == ["", "CNN", "&lt;RNN&gt;", "4", "8"]
    assert re.findall(r"<td>(.*?)</td>", page) == ["0.91", "", "0.50", "0.25"]


def test_a_table_in_two_levels_is_shown(shown):
    frame = pd.DataFrame({"right": [1, 2]}, [4, 8]).rename_axis("size")
    figures.table(pd.concat({"CNN": frame, "RNN": frame}, names=["arm"]), "two nets")
    assert "arm" not in shown[0]["text/plain"] and "size" not in shown[0]["text/html"]


def test_a_table_without_numbers_is_refused(shown):
    with pytest.raises(ValueError, match="nothing to show in 'right': the table is empty"):
        figures.table(pd.DataFrame(), "right")
    assert not shown
