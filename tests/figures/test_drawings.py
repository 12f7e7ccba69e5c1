"""Every drawing, with every part highlighted; the numbers in it against PyTorch and the helpers."""

import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence

from helpers.analysis import diagnostics
from helpers.evidence.statistics import t_interval
from helpers.figures import drawings, style
from helpers.figures.drawings import convolutions
from helpers.figures.drawings.sequences import ROWS
from helpers.figures.svg import svg
from helpers.nets.cnn import SimpleCNN, parameter_count
from helpers.nets.sequences import CausalCNN

DRAWINGS = [getattr(drawings, name) for name in drawings.__all__]


@pytest.fixture
def drawn(monkeypatch) -> Callable[..., tuple[Figure, str]]:
    """Draws, and returns the figure and its alt text."""
    kept = []
    monkeypatch.setattr(style, "show", lambda figure, alt: kept.append((figure, alt)))

    def draw(function, *args, **kwargs) -> tuple[Figure, str]:
        function(*args, **kwargs)
        return kept[-1]

    return draw


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def look(figure: Figure) -> tuple:
    """What a highlight may change: colours, widths and bold letters."""
    axis = figure.axes[0]
    lines = [(p.get_edgecolor(), p.get_facecolor(), p.get_linewidth()) for p in axis.patches]
    return (*lines, *(text.get_fontweight() for text in axis.texts))


def numbers(figure: Figure) -> list[float]:
    """Texts that are a number, in the order of drawing."""
    plain = [text.replace("−", "-") for text in texts(figure)]
    return [float(text) for text in plain if re.fullmatch(r"[-+]?\d+(\.\d+)?", text)]


# ---------------------------------------------------------------- every drawing


@pytest.mark.slow
@pytest.mark.parametrize("draw", DRAWINGS, ids=drawings.__all__)
def test_every_part_stands_out_and_no_other_is_accepted(draw, drawn):
    looks = set()
    for part in (None, *draw.parts):
        assert part is None or part in draw.__doc__
        figure, alt = drawn(draw, highlight=part)
        assert alt.endswith(".") and len(alt) > 40
        looks.add(look(figure))
    assert len(looks) == 1 + len(draw.parts)
    with pytest.raises(ValueError, match=f"no part 'wheel': choose one of {draw.parts[0]}"):
        draw(highlight="wheel")


@pytest.mark.slow
@pytest.mark.parametrize("draw", DRAWINGS, ids=drawings.__all__)
def test_a_drawing_is_small_and_its_texts_lie_on_the_page_apart(draw, drawn):
    figure, _ = drawn(draw)
    assert figure.get_figwidth() < 9 and len(style.styled(svg)(figure)) < 55_000
    figure.draw_without_rendering()
    page, boxes = figure.bbox, [text.get_window_extent() for text in figure.axes[0].texts]
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    for (m, one), (n, other) in itertools.combinations(enumerate(boxes), 2):
        overlap = one.intersection(one, other)
        deep = overlap is not None and min(overlap.width, overlap.height) > 2
        assert not deep, (texts(figure)[m], texts(figure)[n])


# ---------------------------------------------------------------- numbers against an oracle


def test_sliding_window_shows_products_sum_and_the_output_so_far(drawn):
    image, kernel, (i, j) = convolutions.IMAGE, convolutions.EDGES, convolutions.PLACE
    figure, alt = drawn(drawings.sliding_window)
    products = image[i : i + 3, j : j + 3] * kernel
    output = F.conv2d(image[None, None].float(), kernel[None, None].float())[0, 0]
    seen = output.flatten()[: i * 3 + j + 1]
    expected = torch.cat([v.flatten().float() for v in (image, kernel, products, seen)])
    assert numbers(figure) == expected.tolist()
    terms = next(text for text in texts(figure) if " = " in text).replace("−", "-")
    left, right = terms.replace(" ", "").split("=")
    assert eval(left) == float(right) == output[i, j]
    assert f"sum to {right.replace('-', '−')}" in alt


def test_simple_cnn_shows_the_modules_shapes_and_weights(drawn):
    model, x = SimpleCNN(), torch.zeros(1, 1, 28, 28)
    shown = texts(drawn(drawings.simple_cnn)[0])
    shapes = [x.shape]
    for conv in (model.conv1, model.conv2):
        x = conv(x)
        shapes.append(x.shape)
        x = F.max_pool2d(x, 2)
        shapes.append(x.shape)
    assert model.features(torch.zeros(1, 1, 28, 28)).shape == shapes[-1]
    for shape in shapes:
        assert " × ".join(map(str, shape[1:])) in shown
    for layer in model.children():
        assert f"{parameter_count(layer):,}\nweights" in shown
    assert {f"flatten {x[0].numel()}", "128", "10 logits"} <= set(shown)


def test_receptive_fields_are_those_that_gradients_find(drawn):
    shown = texts(drawn(drawings.receptive_field)[0])
    layers = [nn.Conv2d(1, 1, 3), nn.AvgPool2d(2), nn.Conv2d(1, 1, 3), nn.AvgPool2d(2)]
    for n in range(1, 5):
        seen = diagnostics.receptive_field(nn.Sequential(*layers[:n]), torch.randn(1, 1, 10, 10))
        assert f"sees {(seen > 0).any(dim=0).sum()}" in shown


def test_norms_take_as_many_means_of_as_many_numbers_as_torch(drawn):
    shown = texts(drawn(drawings.normalisation)[0])
    x = torch.randn(4, 6, 5, dtype=torch.float64)
    norms = {
        "BatchNorm": (nn.BatchNorm1d(6), (0, 2), x),
        "LayerNorm": (nn.LayerNorm([6, 5]), (1, 2), x),
        "GroupNorm": (nn.GroupNorm(2, 6), (2, 3), x.reshape(4, 2, 3, 5)),
        "InstanceNorm": (nn.InstanceNorm1d(6), (2,), x),
    }
    for n, (norm, dims, grouped) in enumerate(norms.values()):
        standard = (grouped - grouped.mean(dims, keepdim=True)) / (
            grouped.var(dims, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        assert torch.allclose(norm.double()(x), standard.reshape(x.shape))
        means = grouped.mean(dims).numel()
        notes = [text for text in shown if "means of" in text]
        assert notes[n].endswith(f"{means} means of {x.numel() // means} numbers")


def test_padding_packs_as_torch_does(drawn):
    figure, alt = drawn(drawings.padding)
    packed = pack_sequence([torch.zeros(len(row)) for row in ROWS], enforce_sorted=False)
    shown = texts(figure)
    sizes = [int(text) for text in shown[: shown.index("sizes")] if text.isdigit()]
    assert sizes[-4:] == packed.batch_sizes.tolist() and "9 ones" in shown
    assert "fill 12 places, of which the mask counts 9" in alt


def test_the_longest_path_spans_the_receptive_field(drawn):
    figure, alt = drawn(drawings.longest_path)
    net = CausalCNN(1, 1, kernel_size=2, layers=4, per_layer=1)
    assert {"4 layers", f"{net.receptive_field} steps"} <= set(texts(figure))
    assert f"the first of {net.receptive_field} inputs" in alt
    with pytest.raises(ValueError, match="draw 2 to 16"):
        drawings.longest_path((1, 2, 4, 8, 16))


@pytest.mark.parametrize(("factor", "trend"), [(0.5, "vanishes"), (1, "stays"), (1.5, "explodes")])
def test_the_gradient_by_lag_is_what_autograd_says(factor, trend, drawn):
    start = state = torch.tensor(1.0, requires_grad=True)
    for _ in range(5):
        state = factor * state
    (gradient,) = torch.autograd.grad(state, start)
    figure, alt = drawn(drawings.gradient_by_lag, factor, 5)
    assert numbers(figure)[0] == pytest.approx(gradient.item(), rel=0.05)
    assert numbers(figure)[5] == 1 and texts(figure).count(f"× {factor:g}") == 5 and trend in alt


def test_gradients_reach_back_one_step_less_than_the_window(drawn):
    figure, alt = drawn(drawings.truncated_backpropagation)
    assert texts(figure).count("detach") == 2 and "window 3" in texts(figure)
    assert "reaches back 2 steps" in alt


@pytest.mark.parametrize(
    ("first", "word"), [(3.0, "supported"), (1.0, "undecided"), (-1.0, "refuted")]
)
def test_an_experiments_word_follows_from_interval_and_threshold(first, word, drawn):
    noise = np.array([0.4, -0.3, 0.2, -0.5, 0.1, 0.1])
    figure, alt = drawn(drawings.experiment, first + noise, np.zeros(6), threshold=1.0)
    low, high = t_interval(first + noise)
    assert word in texts(figure) and f"interval {low:.2f} to {high:.2f}" in alt
    assert "2 arms × 6 seeds = 12 runs" in texts(figure)


def test_wide_effects_get_fewer_ticks(drawn):
    effects = np.array([-15.8, 4.0, -5.4, -3.0, -8.3, -6.4])
    figure, _ = drawn(drawings.experiment, effects, np.zeros(6), threshold=1.0)
    ticks = [t for t in texts(figure) if re.fullmatch(r"[−-]?\d+", t)]
    assert ticks[-10:] == ["−14", "−12", "−10", "−8", "−6", "−4", "−2", "0", "2", "4"]


def test_a_step_left_out_is_crossed_and_explained(drawn):
    figure, alt = drawn(drawings.training_circle, crossed="zero_grad")
    assert "gradients of all updates add up" in alt
    assert (
        len(figure.axes[0].patches) == len(drawn(drawings.training_circle)[0].axes[0].patches) + 2
    )
    with pytest.raises(ValueError, match="no part 'test'"):
        drawings.training_circle(crossed="test")


def test_the_circle_has_the_order_of_a_loop(drawn):
    figure, alt = drawn(drawings.training_circle)
    order = ["forward", "loss", "zero_grad", "backward", "step"]
    assert [text for text in texts(figure) if text in order] == order
    assert ", ".join(order) in alt
    assert "one update" in texts(figure)


def test_an_unrolled_net_takes_any_labels_and_cuts(drawn):
    figure, _ = drawn(drawings.unrolled, ["x = 1", "x = 2"], ["h = 0.6", "h = 0.9"], "Two steps.")
    assert {"x = 1", "h = 0.9"} <= set(texts(figure))
    with pytest.raises(ValueError, match="one state for each input"):
        drawings.unrolled(["x"], [])
