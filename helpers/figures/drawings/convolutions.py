"""Drawings of convolutional networks: one product, the whole net, what a unit sees."""

from collections.abc import Callable

import numpy as np
from torch import Tensor, tensor

from helpers.figures.drawings.grammar import (
    ACCENT,
    BLUE,
    INK,
    ORANGE,
    PURPLE,
    Box,
    Part,
    Sheet,
    number,
    with_parts,
)
from helpers.nets.cnn import SimpleCNN, correlate, output_size, parameter_count

IMAGE = tensor(
    [[0, 0, 1, 2, 2], [0, 1, 2, 2, 1], [0, 2, 2, 1, 0], [1, 2, 1, 0, 0], [2, 2, 0, 0, 0]]
)
EDGES = tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # Sobel: dark at the left, bright at the right
PLACE = (1, 0)  # row and column of the output
CELL = 0.42  # inches


# --- one product -----------------------------------------------------------------------------


@with_parts("window", "filter", "products", "sum", "output")
def sliding_window(*, highlight: str | None = "window") -> None:
    """A kernel laid on an image: its products, their sum, and where the sum goes.

    What the window has passed already is filled in. Parts: window, filter, products, sum, output.
    """
    (row, column), (h, w) = PLACE, EDGES.shape
    products = IMAGE[row : row + h, column : column + w] * EDGES
    output, total = correlate(IMAGE, EDGES), number(products.sum().item())
    panels = {
        f"image {_size(IMAGE)}": IMAGE,
        f"filter {_size(EDGES)}": EDGES,
        f"{products.numel()} products": products,
        f"output {_size(output)}": output,
    }
    widths = np.array([values.shape[1] * CELL for values in panels.values()])
    lefts = 0.3 + np.cumsum([0, *(widths + 0.5)])
    tall = IMAGE.shape[0] * CELL
    middle = 0.8 + tall / 2
    sheet = Sheet(lefts[-1] - 0.2, tall + 1.3, highlight)
    fills = (
        _within(PLACE, (h, w), ACCENT if sheet.lit("window") else BLUE),
        _signs(EDGES),
        _signs(products),
        _within(PLACE, (1, 1), ACCENT if sheet.lit("output") else BLUE),
    )
    parts = ("", "filter", "products", "")
    at = []
    for left, (title, values), part, fill in zip(lefts, panels.items(), parts, fills, strict=False):
        texts = [[number(value) for value in line] for line in values.tolist()]
        if values is output:
            texts = [
                [text if (i, j) <= PLACE else "" for j, text in enumerate(line)]
                for i, line in enumerate(texts)
            ]
        top = middle + len(texts) * CELL / 2
        sheet.label(left + len(texts[0]) * CELL / 2, top + 0.18, title, part)
        at.append(sheet.grid(left, top, texts, CELL, part, fill=fill, size=10))
    for left, sign in zip(lefts[1:], ("×", "="), strict=False):
        sheet.label(left - 0.25, middle, sign, size=14)
    corner, end = at[0](row, column), at[3](row, column)
    sheet.frame(corner.left[0], corner.top[1], w * CELL, h * CELL, "window", BLUE, 2)
    sheet.frame(end.left[0], end.top[1], CELL, CELL, "output", BLUE, 2)
    terms = " + ".join(number(value) for value in products.flatten().tolist())
    text = f"{terms} = {total}".replace("+ −", "− ")
    below = (lefts[2] + widths[2] / 2, middle - h * CELL / 2)
    box = sheet.box(below[0] - 0.6, 0.3, 0.083 * len(text) + 0.2, 0.34, text, "sum")
    sheet.arrow(below, (below[0], box.top[1]), part="sum")
    sheet.arrow(box.right, (end.x, box.y), end.bottom, part="sum")
    sheet.show(
        f"A {h} by {w} filter on an image: at row {row}, column {column} its "
        f"{products.numel()} products sum to {total}, one number of the output."
    )


def _size(values: Tensor) -> str:
    return " × ".join(map(str, values.shape))


def _within(place: tuple[int, int], size: tuple[int, int], colour: str) -> Callable:
    """Tints the cells of a rectangle of so many rows and columns from `place` on."""

    def fill(i: int, j: int) -> tuple[str, float]:
        inside = 0 <= i - place[0] < size[0] and 0 <= j - place[1] < size[1]
        return colour, 0.2 if inside else 0

    return fill


def _signs(values: Tensor) -> Callable:
    """Tints negative cells purple and positive ones orange, the stronger the larger."""
    share = values / (values.abs().max().item() or 1)
    return lambda i, j: (PURPLE if share[i, j] < 0 else ORANGE, 0.4 * abs(share[i, j].item()))


# --- the whole net ---------------------------------------------------------------------------

PIXEL, CHANNEL = 0.033, (0.014, 0.012)  # inches: a pixel's side, and a channel's step backwards


@with_parts("image", "conv1", "pool1", "conv2", "pool2", "dense", "head")
def simple_cnn(*, highlight: str | None = "conv1") -> None:
    """`SimpleCNN` from image to digit: every stage in proportion, with its shape and its weights.

    Parts: image, conv1, pool1, conv2, pool2, dense, head.
    """
    model = SimpleCNN()
    counts = {name: parameter_count(layer) for name, layer in model.named_children()}
    sheet = Sheet(8.05, 2.95, highlight)
    middle, x, before = 1.5, 0.25, None
    for name, what, channels, side in _stages(model):
        width = side * PIXEL + channels * CHANNEL[0]
        block = _maps(sheet, x, middle, channels, side, name)
        sheet.label(x + width / 2, 0.62, f"{channels} × {side} × {side}", name)
        if before:
            _stage(sheet, before, block.left, name, what, counts.get(name, 0))
        before, x = (x + width, middle), x + width + 0.46
    sheet.label(0.25 + 14 * PIXEL, middle - 0.01, "7", size=44, faint=True)
    hidden, classes = model.head.in_features, model.head.out_features
    column = sheet.box(x + 0.12, middle, 0.13, hidden * 0.0125, part="dense", colour=BLUE)
    digits = [sheet.dot(x + 0.85, middle + 0.155 * (4.5 - n), radius=0.055) for n in range(classes)]
    for n, dot in enumerate(digits):
        sheet.label(dot.x + 0.15, dot.y, str(n), "head" if n == 7 else "", size=8, bold=n == 7)
    sheet.dot(digits[7].x, digits[7].y, part="head", colour=BLUE, radius=0.055)
    sheet.label(column.x, 0.62, str(hidden), "dense")
    sheet.label(digits[0].x, 0.62, f"{classes} logits", "head")
    flat = model.dense.in_features
    _stage(sheet, before, column.left, "dense", f"flatten {flat}", counts["dense"])
    _stage(sheet, column.right, (digits[0].left[0], middle), "head", "linear", counts["head"])
    total = parameter_count(model)
    sheet.show(
        f"SimpleCNN: images shrink from 28 to 5 pixels a side while channels grow from 1 to 32; "
        f"{counts['dense']:,} of its {total:,} weights lie in the dense layer."
    )


def _stages(model: SimpleCNN) -> list[tuple[str, str, int, int]]:
    """Name, operation, channels and side of the maps that the network makes of an image."""
    stages, side = [("image", "", model.conv1.in_channels, 28)], 28
    for n, conv in enumerate((model.conv1, model.conv2), 1):
        kernel = conv.kernel_size[0]
        side = output_size(side, kernel)
        stages.append((f"conv{n}", f"{kernel} × {kernel}", conv.out_channels, side))
        side //= 2
        stages.append((f"pool{n}", "max 2 × 2", conv.out_channels, side))
    return stages


def _maps(sheet: Sheet, x: float, middle: float, channels: int, side: int, part: Part) -> Box:
    """Square maps one behind the other; of those behind, the edges that can be seen."""
    size, (right, up) = side * PIXEL, CHANNEL
    back = (channels - 1) * right, (channels - 1) * up
    y = middle - (size + back[1]) / 2
    edges = []
    for n in range(1, channels):
        a, b = x + n * right, y + n * up
        edges.append([(a, b + size), (a + size, b + size), (a + size, b)])
    sheet.lines(edges, part, (INK, 0.55), 0.5 - 0.9 * sheet.lit(part))
    if channels > 1:
        a, b = x + back[0], y + back[1]
        outline = [(x, y), (x + size, y), (a + size, b), (a + size, b + size), (a, b + size)]
        sheet.area([*outline, (x, y + size)], part, tint=0.12)
    sheet.box(x + size / 2, y + size / 2, size, size, part=part, square=True, tint=0.08)
    return Box(x + (size + back[0]) / 2, middle, size + back[0], size + back[1])


def _stage(sheet: Sheet, start, end, part: str, what: str, weights: int) -> None:
    """The arrow of an operation, above it name and kind, beneath its number of weights."""
    sheet.arrow(start, end, part=part, gap=0.06)
    middle = (start[0] + end[0]) / 2
    sheet.label(middle, 2.72, part, part, bold=True)
    sheet.label(middle, 2.52, what, part, size=8)
    if weights:
        sheet.label(middle, 0.3, f"{weights:,}\nweights", part, size=8)


# --- what a unit sees ------------------------------------------------------------------------

LAYERS = {"conv1": (3, 1), "pool1": (2, 2), "conv2": (3, 1), "pool2": (2, 2)}  # kernel, stride
UNITS = {"conv1": 3, "pool1": 1, "conv2": 0, "pool2": 0}  # one of each, each seeing the one before


@with_parts(*LAYERS)
def receptive_field(*, highlight: str | None = "conv2") -> None:
    """Which pixels one unit of each layer sees, along one side and on the image: 3, 4, 8, 10.

    The layers are those of `SimpleCNN`. Parts: conv1, pool1, conv2, pool2.
    """
    fields = _fields()
    sheet = Sheet(8.1, 3.72, highlight)
    step, left, row = 0.36, 1.1, 0.68
    places = [left + step * n for n in range(10)]
    reached = _reached(highlight) if highlight else {}
    for n, x in enumerate(places):
        part = highlight or "" if n in reached.get("pixels", ()) else ""
        sheet.box(x, 0.4, 0.26, 0.26, part=part, square=True)
    sheet.label(0.8, 0.4, "pixels", ha="right")
    for level, (name, (kernel, stride)) in enumerate(LAYERS.items(), 1):
        y = 0.4 + level * row
        above = [
            sum(places[stride * n : stride * n + kernel]) / kernel
            for n in range((len(places) - kernel) // stride + 1)
        ]
        for n, x in enumerate(above):
            part = highlight or "" if n in reached.get(name, ()) else ""
            shift = 0.13 if level == 1 else 0.1
            below = places[stride * n : stride * n + kernel]
            sheet.lines([[(start, y - row + shift), (x, y - 0.1)] for start in below], part)
            sheet.dot(x, y, part=part, radius=0.1)
        first, last = fields[name]
        sheet.label(0.8, y, name, name, ha="right")
        sheet.label(left + 9 * step + 0.3, y, f"sees {last - first}", name, ha="left")
        places = above
    sheet.label(left + 4.5 * step, 3.52, "one row of pixels and the units above it")
    _nested(sheet, fields, 5.55, 2.9)
    sizes = [last - first for first, last in fields.values()]
    sheet.show(
        "One unit of conv1, pool1, conv2 and pool2 sees a square of "
        f"{', '.join(map(str, sizes[:-1]))} and {sizes[-1]} pixels a side: each layer sees more."
    )


def _fields() -> dict[str, tuple[int, int]]:
    """First pixel and the one after the last that the chosen unit of each layer sees."""
    size, jump, fields = 1, 1, {}
    for name, (kernel, stride) in LAYERS.items():
        size, jump = size + (kernel - 1) * jump, jump * stride
        fields[name] = (UNITS[name] * jump, UNITS[name] * jump + size)
    return fields


def _reached(name: str) -> dict[str, set[int]]:
    """The pixels, and the units of every layer up to `name`, that reach its chosen unit."""
    reached, units = {}, {UNITS[name]}
    for layer in reversed(list(LAYERS)[: list(LAYERS).index(name) + 1]):
        reached[layer] = units
        kernel, stride = LAYERS[layer]
        units = {stride * unit + k for unit in units for k in range(kernel)}
    return reached | {"pixels": units}


def _nested(sheet: Sheet, fields: dict[str, tuple[int, int]], left: float, top: float) -> None:
    """The same fields as squares on an image of ten by ten pixels."""
    cell = 0.23
    sheet.grid(left, top, [[""] * 10] * 10, cell)
    for inset, (name, (first, last)) in zip((0.06, 0.04, 0.02, 0), fields.items(), strict=True):
        corner, side = first * cell + inset, (last - first) * cell - 2 * inset
        if sheet.lit(name):
            x, y = left + corner, top - corner
            sheet.area([(x, y), (x + side, y), (x + side, y - side), (x, y - side)], name)
        sheet.frame(left + corner, top - corner, side, side, name, BLUE, 1.6)
        sheet.label(
            left + corner + 0.06, top - corner - side + 0.1, str(last - first), name, ha="left"
        )
    sheet.label(left + 5 * cell, top + 0.18, "the same units on the image")
