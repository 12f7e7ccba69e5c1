"""Every figure: a valid small PNG with its alt text, the same bytes each time."""

import inspect
import itertools
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from images import colours_of, picture

from helpers import figures
from helpers.figures import plots, style

ALT = "What the figure shows: a finding."
NAN = float("nan")


def frame(columns: tuple[str, ...], rows: int = 8) -> pd.DataFrame:
    values = np.random.default_rng(0).uniform(0.5, 1, (rows, len(columns)))
    return pd.DataFrame(values, index=range(1, rows + 1), columns=columns)


PICTURES = torch.linspace(-1, 2, 4 * 25).reshape(4, 5, 5)
FOREST = pd.DataFrame(
    [[2, 1, 3, "supported"], [-9, -10, -8, "refuted"], [0.5, -0.5, 1.5, "inconclusive"]],
    index=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")]),
    columns=["middle", "low", "high", "kind"],
)
FACETS = pd.DataFrame(
    [(a, b, lr, s, lr * s) for a in "ab" for b in "pqrs" for lr in (0.1, 1.0) for s in (1, 2)],
    columns=["net", "by", "lr", "seed", "loss"],
)

DRAW = {
    "tables": lambda: figures.tables({"in": torch.eye(5), "by": torch.ones(3, 3)}, ALT, decimals=1),
    "pictures": lambda: figures.pictures({"a": PICTURES, "b": PICTURES[:2]}, ALT, titles="wxyz"),
    "coloured_text": lambda: figures.coloured_text(
        "To be,\nor $not$\n\n to be", torch.linspace(-1, 3, 23), ALT, bar="nats", columns=5
    ),
    "facets": lambda: figures.facets(
        FACETS,
        ALT,
        x="lr",
        y="loss",
        rows="net",
        columns="by",
        colour="seed",
        xlabel="x",
        ylabel="y",
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
    "labelled_points": lambda: figures.labelled_points(
        {"praise": frame(("x", "y")), "blame": frame(("x", "y"), rows=3)},
        ALT,
        xlabel="first direction",
        ylabel="second direction",
        log="x",
    ),
    "forest": lambda: figures.forest(FOREST, ALT, xlabel="margin", limits=(-5, 5)),
    "seeds": lambda: figures.seeds(frame(("a", "b")), ALT, xlabel="accuracy", threshold=0.7),
    "explore": lambda: figures.explore(draw_chosen, arm=["a", "b"]),
}


def draw_chosen(arm: str = "a") -> None:
    figures.seeds(frame((arm,)), ALT, xlabel="accuracy")


@pytest.fixture
def shown(monkeypatch) -> list[tuple[dict, dict]]:
    """What was displayed, as pairs of data and metadata."""
    calls = []

    def display(data, raw, metadata=None):
        assert raw
        calls.append((data, metadata or {}))

    monkeypatch.setattr(style, "display", display)
    return calls


# ---------------------------------------------------------------- every figure


def test_every_figure_is_tested():
    public = {
        name
        for name, member in inspect.getmembers(figures, inspect.isfunction)
        if member.__module__.startswith(figures.__name__) and not name.startswith("_")
    }
    assert public - {"show", "blank", "png", "strip"} == set(DRAW)


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_a_small_png_with_alt_text(name, shown):
    DRAW[name]()
    ((data, metadata),) = shown
    assert data["text/plain"] == ALT and metadata["image/png"]["alt"] == ALT
    image = picture(data["image/png"])
    assert image.format == "PNG" and 100 < image.width <= 700 and 40 < image.height <= 700
    assert len(data["image/png"]) < 60_000
    assert len(colours_of(image)) > 5  # not blank


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_the_same_bytes_every_time(name, shown):
    DRAW[name]()
    DRAW[name]()
    assert shown[0] == shown[1]


def test_figures_leave_nothing_open(shown):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    for draw in DRAW.values():
        draw()
    assert pyplot.get_fignums() == []


def test_the_palette_tells_seven_apart():
    assert len(set(figures.COLOURS)) == len(set(figures.LINES)) == len(set(figures.MARKERS)) == 7
    channels = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in figures.COLOURS]
    for one, other in itertools.combinations(np.array(channels), 2):
        assert abs(one - other).sum() > 60


# ---------------------------------------------------------------- what single figures promise


@pytest.mark.parametrize(("scale", "black"), [("shared", False), ("row", True), ("each", True)])
def test_pictures_stretch_contrast_only_within_their_scale(scale, black, shown):
    """A row of values between 1 and 2 beside one from 0 to 2: black only on its own scale."""
    low, high = torch.tensor([[[0.0, 2], [0, 2]]]), torch.tensor([[[1.0, 2], [1, 2]]])
    draw = partial(figures.pictures, alt=ALT, scale=scale, size=2)
    draw({"": low, " ": high})
    image = picture(shown[0][0]["image/png"]).convert("L")
    lower = image.crop(
        (image.width // 2 - 30, image.height * 3 // 4 - 20, image.width, image.height)
    )
    darkest_area = np.sort(np.asarray(lower).ravel())[200]
    assert (darkest_area < 20) == black


def test_signed_pictures_show_zero_as_white(shown):
    zero, half = torch.zeros(1, 3, 3), torch.tensor([[[-1.0, 0, 1]] * 3])
    figures.pictures({"": torch.cat([zero, half])}, ALT, signed=True, size=2)
    image = picture(shown[0][0]["image/png"]).convert("RGB")
    assert min(image.getpixel((image.width // 3, image.height // 2))) > 240
    assert any(b - g > 60 for _, g, b in colours_of(image))  # purple
    assert any(r - b > 100 for r, _, b in colours_of(image))  # orange


BROKEN = {
    "pictures": lambda: figures.pictures({"a": PICTURES * NAN, "b": PICTURES}, ALT),
    "signed pictures": lambda: figures.pictures({"a": PICTURES * NAN}, ALT, signed=True),
    "one picture": lambda: figures.pictures({"a": PICTURES * NAN}, ALT, scale="each"),
    "tables": lambda: figures.tables({"a": torch.full((2, 2), NAN)}, ALT),
    "heatmap": lambda: figures.heatmap(
        torch.tensor([[NAN, 1], [2, 3]]), ALT, xlabel="class", ylabel="channel", bar="selectivity"
    ),
    "curves": lambda: figures.curves(
        {"a": frame(("1", "2")).assign(**{"2": NAN})}, ALT, xlabel="x", ylabel="y"
    ),
    "forest": lambda: figures.forest(FOREST, ALT, xlabel="margin", limits=(-5, 5)),
    "seeds": lambda: figures.seeds(frame(("a", "b")).replace({1: NAN}), ALT, xlabel="x"),
    "a diverged arm": lambda: figures.seeds(frame(("a", "b")).assign(b=NAN), ALT, xlabel="x"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_dead_channels_and_diverged_runs_can_be_drawn(name, shown):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BROKEN[name]()
    assert picture(shown[0][0]["image/png"]).width <= 700


def lower_half(shown: list) -> np.ndarray:
    image = picture(shown.pop()[0]["image/png"]).convert("RGB")
    lower = image.crop((0, image.height // 2 + 8, image.width, image.height))
    return np.asarray(lower, dtype=int)


def look_the_same(shown: list) -> bool:
    """Whether the lower halves of two figures differ by no more than the choice of 256 colours."""
    difference = np.abs(lower_half(shown) - lower_half(shown)).max(axis=2)
    return difference.mean() < 1 and (difference > 16).mean() < 0.002


@pytest.mark.parametrize("signed", [True, False])
def test_a_dead_row_leaves_the_others_their_contrast(signed, shown):
    dead = PICTURES.clone()
    dead[0, 0, 0] = NAN
    for row in (PICTURES, dead):
        figures.pictures({"a": row, "b": PICTURES}, ALT, signed=signed)
    assert look_the_same(shown)


def test_a_heatmap_without_negative_values_has_one_colour(shown):
    values = torch.tensor([[0, 0.5], [0.2, 1]])
    figures.heatmap(values, ALT, xlabel="x", ylabel="y", bar="share", signed=False)
    image = picture(shown[0][0]["image/png"])
    assert not any(b - g > 60 for _, g, b in colours_of(image))
    assert any(r - b > 100 for r, _, b in colours_of(image))


def test_a_dead_cell_leaves_a_heatmap_its_scale(shown):
    for cell in (0.0, NAN):
        values = torch.tensor([[cell, -1], [0.5, 1]])
        figures.heatmap(values, ALT, xlabel="x", ylabel="y", bar="b")
    assert look_the_same(shown)


def test_a_row_of_sixteen_filters_fits_the_page(shown):
    figures.pictures({"filters": torch.rand(16, 3, 3)}, ALT)
    assert picture(shown[0][0]["image/png"]).width <= 700


def test_a_live_reader_chooses_what_is_drawn(monkeypatch):
    import ipywidgets

    calls = []
    monkeypatch.setattr(ipywidgets, "interact", lambda draw, **choices: calls.append(choices))
    monkeypatch.delenv("OUTPUTS", raising=False)
    figures.explore(draw_chosen, arm=("a", "b"))
    assert calls == [{"arm": ["a", "b"]}]


def test_coloured_text_needs_a_value_for_every_character(shown):
    for text, count in (("abc", 2), ("", 0)):
        with pytest.raises(ValueError, match="one each"):
            figures.coloured_text(text, torch.zeros(count), ALT, bar="nats")


def test_coloured_text_breaks_lines_where_the_text_does(shown):
    for text in ("abcdef", "abc\nde", "a\nb\nc\n"):
        figures.coloured_text(text, torch.ones(6), ALT, bar="nats", columns=6)
    heights = [picture(data["image/png"]).height for data, _ in shown]
    assert heights[0] < heights[1] < heights[2]


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
    figures.seeds(frame(("a", "b")), ALT, xlabel="x", threshold=0.7, **named)
    for axis in axes:
        assert mark in [text.get_text() for text in axis.get_legend().get_texts()]


def test_a_legend_set_aside_covers_no_line(axes):
    figures.curves(
        {"a": frame(("1",)), "b": frame(("2",))}, ALT, xlabel="x", ylabel="y", aside=True
    )
    axes[0].figure.draw_without_rendering()
    assert axes[0].get_legend().get_window_extent().x0 >= axes[0].get_window_extent().x1


def test_dots_are_called_what_they_are(axes):
    for named in ({}, {"dot": "one part"}):
        figures.seeds(frame(("a", "b")), ALT, xlabel="x", **named)
    assert [axis.get_title().split(";")[0] for axis in axes] == ["dot: one seed", "dot: one part"]


@pytest.mark.parametrize("log", ["", "x"])
def test_names_of_close_points_do_not_cover_each_other(log, axes):
    close = pd.DataFrame({"x": [1.0, 1.001, 9.0], "y": [2.0, 2.0, 3.0]}, index=["dull", "bad", "x"])
    figures.labelled_points({"blame": close}, ALT, xlabel="x", ylabel="y", log=log)
    boxes = [name.get_window_extent() for name in axes[0].texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_kind_looks_the_same_in_every_forest(axes):
    kinds = ("inconclusive", "refuted", "supported")
    for rows in (FOREST, FOREST[FOREST["kind"] != "inconclusive"]):
        figures.forest(rows, ALT, xlabel="margin", kinds=kinds)
    looks = [
        {
            dots.get_label(): tuple(dots.get_facecolor()[0])
            for dots in axis.collections
            if dots.get_label() in kinds
        }
        for axis in axes
    ]
    assert looks[0]["supported"] == looks[1]["supported"]
    assert len(set(looks[0].values())) == 3


def test_few_decades_are_labelled_with_plain_numbers(axes):
    lines = {"RNN": pd.DataFrame({"seed": [20.0, 400.0]}, index=[0.1, 1.0])}
    figures.curves(lines, ALT, xlabel="rate", ylabel="loss", log="xy")
    assert "50" in [label.get_text() for label in axes[0].get_yticklabels()]
    wide = pd.DataFrame({"seed": [1.0] * 8}, index=np.geomspace(1e-9, 1, 8))
    figures.curves({"RNN": wide}, ALT, xlabel="rate", ylabel="loss", log="x")
    assert any("10^" in label.get_text() for label in axes[1].get_xticklabels())


def test_the_band_says_what_it_spans(axes):
    figures.curves({"": frame(("1", "2"))}, ALT, xlabel="x", ylabel="y", each="units")
    assert "median of the units" in axes[0].get_title()
