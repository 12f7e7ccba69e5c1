"""Exercises of notebook 03."""

import torch

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

# --- a recurrent net ----------------------------------------------------------------------------


def states_of(x, h, w_x, w_h, bias):
    """All states (time, hidden) of one sequence x (time, inputs) from a first state h (hidden,)."""
    states = []
    for x_t in x:
        h = torch.tanh(w_x @ x_t + w_h @ h + bias)
        states.append(h)
    return torch.stack(states)


def states_torch(x, h, w_x, w_h, bias):
    """The same by `torch.nn.RNN`, whose second bias is zero."""
    layer = torch.nn.RNN(*w_x.T.shape)
    values = (w_x, w_h, bias, torch.zeros_like(bias))
    for parameter, value in zip(layer.parameters(), values, strict=True):
        parameter.data = value
    return layer(x, h[None])[0]


def sequence_and_weights(generator: torch.Generator) -> tuple:
    """A sequence, a first state that is not zero, and weights."""
    time, inputs, hidden = whole_numbers(generator, (3, 7), (2, 4), (4, 7))
    shapes = ((time, inputs), (hidden,), (hidden, inputs), (hidden, hidden), (hidden,))
    return tuple(torch.randn(shape, generator=generator) / 2 for shape in shapes)


def never_handed_on(x, h, w_x, w_h, bias):
    """Every step starts from the first state."""
    return torch.stack([torch.tanh(w_x @ x_t + w_h @ h + bias) for x_t in x])


def squashed_late(x, h, w_x, w_h, bias):
    """What is handed on has not been through the tanh."""
    states = []
    for x_t in x:
        h = w_x @ x_t + w_h @ h + bias
        states.append(torch.tanh(h))
    return torch.stack(states)


def squashed_first(x, h, w_x, w_h, bias):
    """The tanh around the old state alone."""
    states = []
    for x_t in x:
        h = w_x @ x_t + torch.tanh(w_h @ h) + bias
        states.append(h)
    return torch.stack(states)


def bias_outside(x, h, w_x, w_h, bias):
    """The bias is added after the tanh."""
    states = []
    for x_t in x:
        h = torch.tanh(w_x @ x_t + w_h @ h) + bias
        states.append(h)
    return torch.stack(states)


STATES = Code(
    states_torch,
    sequence_and_weights,
    {
        "The state is not handed on: each step starts from the first state again.": never_handed_on,
        "The first state is not used: begin with the h that is given.": (
            lambda x, h, w_x, w_h, bias: states_of(x, 0 * h, w_x, w_h, bias)
        ),
        "Only the last state comes back: collect the states of all steps.": (
            lambda x, h, w_x, w_h, bias: states_of(x, h, w_x, w_h, bias)[-1]
        ),
        "The first state is among the answers: return what comes after each input.": (
            lambda x, h, w_x, w_h, bias: torch.cat([h[None], states_of(x, h, w_x, w_h, bias)])
        ),
        "What is handed on has not been through the tanh: the state is what comes out of it.": (
            squashed_late
        ),
        "The tanh belongs around the whole sum, not around the old state alone.": squashed_first,
        "The bias is added after the tanh: it belongs inside.": bias_outside,
        "The bias is missing.": (lambda x, h, w_x, w_h, bias: states_of(x, h, w_x, w_h, 0 * bias)),
        "The recurrent weights are transposed: unit i reads row i of w_h.": (
            lambda x, h, w_x, w_h, bias: states_of(x, h, w_x, w_h.T, bias)
        ),
        "The sequence is read from its end.": (
            lambda x, h, w_x, w_h, bias: states_of(x.flip(0), h, w_x, w_h, bias)
        ),
        "The tanh is missing: that is a linear recurrence.": (
            lambda x, h, w_x, w_h, bias: torch.atanh(squashed_late(x, h, w_x, w_h, bias))
        ),
    },
    "One loop over the rows of x. The new h is the tanh of three terms: w_x times the input, w_h "
    "times the old h, the bias. Append it, and hand it on.",
    states_of,
)

# --- clipping -----------------------------------------------------------------------------------


def clip(gradients, limit):
    """All gradients, shortened by one factor so that together they are at most `limit` long."""
    length = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    factor = min(1.0, limit / length.item())
    return [gradient * factor for gradient in gradients]


def clip_torch(gradients, limit):
    """The same by `torch.nn.utils.clip_grad_norm_`."""
    weights = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(weights, limit)
    return [weight.grad for weight in weights]


def gradients_and_limit(generator: torch.Generator) -> tuple:
    """Two or three gradients of unequal length, too long in about every other case."""
    (count,) = whole_numbers(generator, (2, 4))
    sizes = torch.randint(2, 5, (count, 2), generator=generator).tolist()
    gradients = [(n + 1) * torch.randn(size, generator=generator) for n, size in enumerate(sizes)]
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    part = 0.3 + 1.2 * torch.rand((), generator=generator).item()
    return gradients, round(part * length, 2)


def scaled(gradients, factor):
    """All gradients times a number."""
    return [gradient * factor for gradient in gradients]


def length_of(gradients):
    """Their common length."""
    return torch.cat([gradient.flatten() for gradient in gradients]).norm().item()


CLIP = Code(
    clip_torch,
    gradients_and_limit,
    {
        "Nothing is clipped.": lambda gradients, limit: scaled(gradients, 1.0),
        "Short gradients are made longer: leave them as they are, the factor is 1 at most.": (
            lambda gradients, limit: scaled(gradients, limit / length_of(gradients))
        ),
        "Each tensor is clipped on its own, which turns the direction: all share one length and "
        "one factor.": (
            lambda gradients, limit: [
                gradient * min(1.0, limit / gradient.norm().item()) for gradient in gradients
            ]
        ),
        "Every number is cut off at the limit, which turns the direction: shorten all by one "
        "factor.": (
            lambda gradients, limit: [gradient.clamp(-limit, limit) for gradient in gradients]
        ),
        "The length lacks its square root.": (
            lambda gradients, limit: scaled(gradients, min(1.0, limit / length_of(gradients) ** 2))
        ),
        "The lengths of the tensors are added up: add their squares, then take the root.": (
            lambda gradients, limit: scaled(
                gradients, min(1.0, limit / sum(gradient.norm().item() for gradient in gradients))
            )
        ),
        "That is the largest number, not the length.": (
            lambda gradients, limit: scaled(
                gradients, min(1.0, limit / max(g.abs().max().item() for g in gradients))
            )
        ),
        "Long gradients are set to zero: shorten them, the direction is worth keeping.": (
            lambda gradients, limit: scaled(gradients, float(length_of(gradients) <= limit))
        ),
        "Long gradients end at length 1, whatever the limit.": (
            lambda gradients, limit: scaled(
                gradients, 1.0 if length_of(gradients) <= limit else 1 / length_of(gradients)
            )
        ),
    },
    "All tensors together are one long vector. How long is it? If that is more than the limit, "
    "multiply every tensor by limit / length.",
    clip,
)

EXERCISES = {
    "03.third-state": Quick(
        0.994,
        "Put 3 for the input and 0.959 for the old state into the formula.",
        "tanh(0.8 x 3 + 0.5 x 0.959) = tanh(2.879) = 0.994.",
        within=0.0006,
    ),
    "03.wiped-state": Quick(
        3,
        "Nothing from before the last wipe is left. Count from there, both ends included.",
        "Wiped before step 6, it knows steps 6, 7 and 8: three.",
    ),
    "03.unit-at-rest": Quick(
        0.72,
        "The state does not change, so the factor is the same at every step: use the formula.",
        "(1 - 0.8^2) x 2 = 0.36 x 2 = 0.72: a weight above 1, and still it vanishes.",
    ),
    "03.chains": Quick(
        [4, 1],
        "In an RNN every step waits for the one before. Does an output of a convolution wait for "
        "its neighbour?",
        "The RNN's chain is four times as long, that of one layer of convolution is as long as "
        "before.",
        mistakes={
            "All outputs of one layer of convolution are computed at once: none waits.": [4, 4],
            "The RNN walks four times as many steps, one after the other.": [1, 1],
        },
    ),
    "03.reach": Quick(
        5,
        "At 64 units, where is the line of PyTorch's start?",
        "Five steps, by the line between lags 4 and 6. At six about half are right: six counts.",
        accepts=lambda steps: steps in (5, 6),
    ),
    "03.distance": Quick(
        "unrelated",
        "With gain 3 the nudge grows by a factor a step. What bounds the distance of two states?",
        "As far apart as two unrelated runs.",
    ),
    "03.place": Quick(
        "at",
        "A net without memory knows one character, and so does the table of counts.",
        "At it, or a hair above: both know one character and nothing else.",
        accepts=lambda place: place in ("at", "above"),
    ),
    "03.states": STATES,
    "03.clip": CLIP,
}
