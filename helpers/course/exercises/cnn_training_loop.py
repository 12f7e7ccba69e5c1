"""Exercises of notebook 02."""

import torch
from torch.nn import functional as F

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

# --- one step of SGD with momentum --------------------------------------------------------------


def step(weight, velocity, gradient, lr, momentum):
    """The next weight and velocity, as tensors of their own."""
    velocity = momentum * velocity + gradient
    return weight - lr * velocity, velocity


def step_torch(weight, velocity, gradient, lr, momentum):
    """The same by `torch.optim.SGD`."""
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = gradient.clone()
    optimizer = torch.optim.SGD([parameter], lr=lr, momentum=momentum)
    optimizer.state[parameter]["momentum_buffer"] = velocity.clone()
    optimizer.step()
    return parameter.detach(), optimizer.state[parameter]["momentum_buffer"]


def in_motion(generator: torch.Generator) -> tuple:
    """A weight of random shape that is under way."""
    shape = torch.randint(2, 5, (2,), generator=generator).tolist()
    tensors = (torch.randn(shape, generator=generator) for _ in range(3))
    lr, momentum = torch.rand(2, generator=generator).tolist()
    return *tensors, round(0.05 + 0.4 * lr, 2), round(0.5 + 0.45 * momentum, 2)


def old_velocity(weight, velocity, gradient, lr, momentum):
    """The weight moves before the velocity is renewed."""
    return weight - lr * velocity, momentum * velocity + gradient


def averaged(weight, velocity, gradient, lr, momentum):
    """The velocity as a moving average, as Adam keeps it."""
    velocity = momentum * velocity + (1 - momentum) * gradient
    return weight - lr * velocity, velocity


def rate_inside(weight, velocity, gradient, lr, momentum):
    """The rate belongs to the velocity."""
    velocity = momentum * velocity + lr * gradient
    return weight - velocity, velocity


def rate_twice(weight, velocity, gradient, lr, momentum):
    """The rate belongs to the velocity and to the step."""
    velocity = momentum * velocity + lr * gradient
    return weight - lr * velocity, velocity


def nesterov(weight, velocity, gradient, lr, momentum):
    """Nesterov's step, which looks ahead."""
    velocity = momentum * velocity + gradient
    return weight - lr * (gradient + momentum * velocity), velocity


def uphill(weight, velocity, gradient, lr, momentum):
    """Plus for minus."""
    weight, velocity = step(weight, velocity, gradient, -lr, momentum)
    return weight, velocity


def without_momentum(weight, velocity, gradient, lr, momentum):
    """Plain SGD that hands the velocity back."""
    return weight - lr * gradient, velocity


MOMENTUM = Code(
    step_torch,
    in_motion,
    {
        "That is plain SGD: the velocity is not used. Renew it first, then step along it.": (
            without_momentum
        ),
        "The velocity is forgotten: the gradient is added to momentum x velocity.": (
            lambda weight, velocity, gradient, lr, momentum: (weight - lr * gradient, gradient)
        ),
        "It goes uphill: the step is subtracted.": uphill,
        "The weight moves along the old velocity. Renew the velocity first.": old_velocity,
        "That is a moving average, (1 - momentum) x gradient, as in Adam. SGD adds the whole "
        "gradient.": averaged,
        "The rate is inside the velocity. In PyTorch it scales the step alone, so that a changed "
        "rate acts at once on all of it.": rate_inside,
        "The rate is used twice, in the velocity and in the step: it belongs to the step.": (
            rate_twice
        ),
        "That is Nesterov's step, which looks ahead. Plain momentum steps along the velocity.": (
            nesterov
        ),
        "The velocity that comes back is the old one: return the new one, for the next step.": (
            lambda weight, velocity, gradient, lr, momentum: (
                step(weight, velocity, gradient, lr, momentum)[0],
                velocity,
            )
        ),
        "Weight and velocity have changed places: return (weight, velocity).": (
            lambda *given: step(*given)[::-1]
        ),
    },
    "Two lines: what becomes of the velocity when a gradient is added to its share that stays? "
    "And which way, and how far, does the weight go along it? Make new tensors; change none.",
    step,
)

# --- the five lines of an update -----------------------------------------------------------------


def one_update(model, optimizer, images, labels):
    """One update along the gradient of this batch alone; returns the new weight."""
    logits = model(images)
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return model.weight


def one_update_functional(model, optimizer, images, labels):
    """The same without `.grad`: autograd hands the gradient back."""
    loss = F.cross_entropy(model(images), labels)
    (gradient,) = torch.autograd.grad(loss, [model.weight])
    return model.weight - optimizer.param_groups[0]["lr"] * gradient


def under_way(generator: torch.Generator) -> tuple:
    """A linear network with the gradient of the batch before, its SGD, and the next batch."""
    inputs, classes, batch = whole_numbers(generator, (2, 5), (2, 5), (3, 8))
    model = torch.nn.Linear(inputs, classes, bias=False)
    model.weight.data = torch.randn(classes, inputs, generator=generator)
    model.weight.grad = torch.randn(classes, inputs, generator=generator)
    lr = round(0.1 + 0.4 * torch.rand((), generator=generator).item(), 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    images = torch.randn(batch, inputs, generator=generator)
    return model, optimizer, images, torch.randint(classes, (batch,), generator=generator)


def along(loss_of, clear=True, sign=1):
    """An update along the gradient of `loss_of(logits, labels)`."""

    def update(model, optimizer, images, labels):
        loss = sign * loss_of(model(images), labels)
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return model.weight

    return update


def step_first(model, optimizer, images, labels):
    """The step goes along what was left over."""
    optimizer.step()
    return model.weight


def only_the_loss(model, optimizer, images, labels):
    """The loss instead of the weight."""
    return F.cross_entropy(model(images), labels)


FIVE_LINES = Code(
    one_update_functional,
    under_way,
    {
        "The gradient of the batch before is still in it: clear it before backward.": along(
            F.cross_entropy, clear=False
        ),
        "The weights have not moved. Is backward or step missing? Or does zero_grad stand between "
        "them, where it throws the new gradient away?": (
            lambda model, optimizer, images, labels: model.weight
        ),
        "It steps along the gradient that was left over: step comes last, after backward.": (
            step_first
        ),
        "There is a softmax too many: F.cross_entropy takes logits.": along(
            lambda logits, labels: F.cross_entropy(logits.softmax(1), labels)
        ),
        "The loss is a sum over the batch; it should be the mean.": along(
            lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum")
        ),
        "It goes uphill: the loss has the wrong sign.": along(F.cross_entropy, sign=-1),
        "That is the loss. Return model.weight.": only_the_loss,
    },
    "Forward and loss make a number. Then three lines: clear, walk back, step. They stand in the "
    "loop of section 4.",
    one_update,
)

# --- cross-entropy from logits ------------------------------------------------------------------


def cross_entropy(logits, labels):
    """Mean of -log softmax at the labels: logits (batch, classes), labels (batch,)."""
    shifted = logits - logits.max(dim=1, keepdim=True).values  # no exp above 1
    log_sum = shifted.exp().sum(dim=1).log()
    return (log_sum - shifted[torch.arange(len(labels)), labels]).mean()


def logits_and_labels(generator: torch.Generator) -> tuple:
    """Logits from small to so large that exp overflows."""
    batch, classes = whole_numbers(generator, (3, 7), (2, 6))
    scale = 10 ** (3 * torch.rand((), generator=generator))
    logits = scale * torch.randn(batch, classes, generator=generator)
    return logits, torch.randint(classes, (batch,), generator=generator)


def of_labels(table, labels):
    """The number at each row's label."""
    return table[torch.arange(len(labels)), labels]


CROSS_ENTROPY = Code(
    F.cross_entropy,
    logits_and_labels,
    {
        "exp of a large logit is infinite. Subtract each row's largest logit first; the loss does "
        "not change.": (
            lambda logits, labels: (
                -of_labels(logits.exp() / logits.exp().sum(1, keepdim=True), labels).log().mean()
            )
        ),
        "log(sum(exp(...))) overflows for large logits. Subtract each row's largest logit first; "
        "the loss does not change.": (
            lambda logits, labels: (logits.exp().sum(1).log() - of_labels(logits, labels)).mean()
        ),
        "A small probability is rounded to 0, and its logarithm is minus infinity. Do not compute "
        "the probability: the logarithm of a quotient is a difference.": (
            lambda logits, labels: -of_labels(logits.softmax(1), labels).log().mean()
        ),
        "A small number inside the logarithm hides how wrong a sure answer is. Work with "
        "logarithms from the start, then nothing has to be added.": (
            lambda logits, labels: -of_labels(logits.softmax(1) + 1e-9, labels).log().mean()
        ),
        "The sign is missing: the logarithm of a probability is negative, a loss is not.": (
            lambda logits, labels: -F.cross_entropy(logits, labels)
        ),
        "That is the sum over the batch; the loss is the mean.": (
            lambda logits, labels: F.cross_entropy(logits, labels, reduction="sum")
        ),
        "There is one loss for every example: take their mean.": (
            lambda logits, labels: F.cross_entropy(logits, labels, reduction="none")
        ),
        "The mean is taken over classes, too: every example has one label, so divide by the "
        "batch.": (lambda logits, labels: F.cross_entropy(logits, labels) / logits.shape[1]),
        "The softmax runs over the batch (dim 0). It belongs to the classes of one example, "
        "dim 1.": (lambda logits, labels: -of_labels(logits.log_softmax(0), labels).mean()),
        "There is a softmax too many: F.cross_entropy and log_softmax take logits, not "
        "probabilities.": (lambda logits, labels: F.cross_entropy(logits.softmax(1), labels)),
        "That is minus the label's logit. The logarithm of the sum over all classes is missing.": (
            lambda logits, labels: -of_labels(logits, labels).mean()
        ),
        "That is in bits, log2; cross-entropy is in nats, log.": (
            lambda logits, labels: F.cross_entropy(logits, labels) / torch.tensor(2.0).log()
        ),
    },
    "-log of a quotient is log of the sum minus the label's logit. Before exp, subtract the "
    "largest logit of each row: above and below the line it cancels.",
    cross_entropy,
)

EXERCISES = {
    "02.loss-of-ignorance": Quick(
        2.30,
        "Minus the natural logarithm of the probability given to the right label.",
        "-ln(1/10) = ln 10 = 2.303.",
        within=0.005,
    ),
    "02.one-update": Quick(
        0.70, "W - lr x g, and minus a negative number is plus.", "0.50 - 0.1 x (-2.0) = 0.70."
    ),
    "02.count-updates": Quick(
        4680,
        "Whole batches per epoch first, then epochs.",
        "floor(60,000 / 128) x 10 = 468 x 10 = 4,680.",
    ),
    "02.probability-from-loss": Quick(
        0.135, "The loss is -ln(p). Solve for p.", "p = exp(-2) = 0.135.", within=0.001
    ),
    "02.forgotten-zero-grad": Quick(
        0.5,
        "The second step uses the sum of both gradients.",
        "1 - 0.1 x 3 = 0.7, then 0.7 - 0.1 x (3 - 1) = 0.5.",
    ),
    "02.five-lines": FIVE_LINES,
    "02.momentum-step": MOMENTUM,
    "02.cross-entropy": CROSS_ENTROPY,
}
