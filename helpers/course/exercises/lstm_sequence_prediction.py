"""Exercises of notebook 06."""

import torch

from helpers.course.exercises.kinds import Code, Quick, whole_numbers

ONE = torch.tensor([0])  # the likeliest token stays in any case

# --- temperature and nucleus --------------------------------------------------------------------


def nucleus(logits, temperature, top_p):
    """Probabilities (tokens,) that are drawn from: the fewest that sum to top_p or more."""
    p, ids = (logits / temperature).softmax(0).sort(descending=True)
    before = p.cumsum(0) - p  # what the more likely tokens sum to
    p = p * (before < top_p)
    return torch.zeros_like(p).scatter(0, ids, p / p.sum())


def nucleus_one_by_one(logits, temperature, top_p):
    """The same, token by token."""
    p = torch.softmax(logits / temperature, 0)
    kept, total = torch.zeros_like(p), 0.0
    for k in p.argsort(descending=True).tolist():
        if total < top_p:
            kept[k], total = p[k], total + p[k].item()
    return kept / kept.sum()


def some_logits(generator: torch.Generator) -> tuple:
    """Logits of five to nine tokens, a temperature, and a nucleus that cuts some off."""
    (count,) = whole_numbers(generator, (5, 10))
    temperature, top_p = torch.rand(2, generator=generator).tolist()
    logits = 2 * torch.randn(count, generator=generator)
    return logits, round(0.4 + temperature, 2), round(0.4 + 0.45 * top_p, 2)


def kept(mask, logits, temperature, top_p):
    """Shares of the sorted tokens that `mask(p)` keeps, each at its token."""
    p, ids = (logits / temperature).softmax(0).sort(descending=True)
    p = p * mask(p, top_p)
    return torch.zeros_like(p).scatter(0, ids, p / p.sum())


def in_order_of_size(logits, temperature, top_p):
    """The right shares, sorted, and not each at its token."""
    return nucleus(logits, temperature, top_p).sort(descending=True).values


def not_shared_out(logits, temperature, top_p):
    """Probabilities that no longer sum to 1."""
    p = (logits / temperature).softmax(0)
    return p * (nucleus(logits, temperature, top_p) > 0)


def temperature_last(logits, temperature, top_p):
    """The nucleus is chosen first, at temperature 1."""
    inside = nucleus(logits, 1.0, top_p) > 0
    return (logits / temperature).masked_fill(~inside, -torch.inf).softmax(0)


NUCLEUS = Code(
    nucleus_one_by_one,
    some_logits,
    {
        "The temperature divides the logits: above 1 the probabilities become more alike. Here it "
        "multiplies them.": (
            lambda logits, temperature, top_p: nucleus(logits, 1 / temperature, top_p)
        ),
        "The temperature is not used: divide the logits by it, before the softmax.": (
            lambda logits, temperature, top_p: nucleus(logits, 1.0, top_p)
        ),
        "The token with which the sum reaches top_p is missing: ask for the sum of those *before* "
        "a token, or the nucleus is too small.": (
            lambda *given: kept(
                lambda p, top_p: (p.cumsum(0) < top_p).index_fill(0, ONE, 1), *given
            )
        ),
        "What is left does not sum to 1: divide it by its sum.": not_shared_out,
        "The shares stand in the order of their size: put each back to its token.": (
            in_order_of_size
        ),
        "Single tokens are compared with top_p: it is the sum, from the largest on, that counts.": (
            lambda *given: kept(lambda p, top_p: (p > 1 - top_p).index_fill(0, ONE, 1), *given)
        ),
        "The nucleus is chosen before the temperature acts: divide first, then choose.": (
            temperature_last
        ),
        "All tokens are there: nothing is cut off.": (
            lambda logits, temperature, top_p: (logits / temperature).softmax(0)
        ),
    },
    "Sort the probabilities, the largest first. A token stays if those before it sum to less than "
    "top_p (cumsum minus the token itself). Then divide by the sum, and scatter back.",
    nucleus,
)


# --- a text laid out for truncated backpropagation ----------------------------------------------


def lay_out(tokens, rows, length):
    """Inputs and targets (windows, rows, length) of a text (N,), every row going on."""
    windows = (len(tokens) - 1) // (rows * length)
    kept = rows * windows * length
    x, y = tokens[:kept], tokens[1 : kept + 1]
    return tuple(part.view(rows, windows, length).transpose(0, 1) for part in (x, y))


def lay_out_one_by_one(tokens, rows, length):
    """The same, piece by piece."""
    windows = (len(tokens) - 1) // (rows * length)
    begins = [[(row * windows + n) * length for row in range(rows)] for n in range(windows)]
    return tuple(
        torch.stack(
            [torch.stack([tokens[b + k : b + k + length] for b in some]) for some in begins]
        )
        for k in (0, 1)
    )


def some_text(generator: torch.Generator) -> tuple:
    """A text of two to four windows of a few rows, and some tokens more."""
    rows, length, windows, rest = whole_numbers(generator, (2, 5), (3, 6), (2, 5), (2, 6))
    return torch.randperm(rows * length * windows + rest, generator=generator), rows, length


def both(arrange, tokens, rows, length):
    """Inputs and targets, each laid out by `arrange`."""
    kept = (len(tokens) - 1) // (rows * length) * rows * length
    return tuple(arrange(part, rows, length) for part in (tokens[:kept], tokens[1 : kept + 1]))


LAY_OUT = Code(
    lay_out_one_by_one,
    some_text,
    {
        "The rows do not go on: the next window of a row begins elsewhere in the text. Cut the "
        "text into rows first, then the rows into windows.": (
            lambda *given: both(lambda t, rows, length: t.view(-1, rows, length), *given)
        ),
        "The axes are (rows, windows, length): windows come first, as they are read in turn.": (
            lambda *given: both(lambda t, rows, length: t.view(rows, -1, length), *given)
        ),
        "The axes are (windows, length, rows): a row of the batch comes before its time.": (
            lambda *given: tuple(part.transpose(1, 2) for part in lay_out(*given))
        ),
        "The targets are the inputs: shift them by one, or the network learns to copy.": (
            lambda *given: (lay_out(*given)[0],) * 2
        ),
        "The targets are shifted the wrong way: they are the tokens before.": (
            lambda *given: lay_out(*given)[::-1]
        ),
        "The target after each window's last input is missing: the shift belongs to the whole "
        "text, before it is cut.": (
            lambda *given: (lay_out(*given)[0], lay_out(*given)[0].roll(-1, dims=2))
        ),
        "The end of the text is kept and its beginning left out: it is the rest that is dropped.": (
            lambda tokens, rows, length: lay_out(
                tokens[(len(tokens) - 1) % (rows * length) :], rows, length
            )
        ),
    },
    "How many windows fit, if the last token is a target only? Keep rows x windows x length "
    "tokens; view them as (rows, windows, length), then swap the first two axes.",
    lay_out,
)

EXERCISES = {
    "06.bigram": Quick(
        0.5,
        "Write down the letter after each a; the last a has none.",
        "After a come b, c, d and b: 2 of 4.",
    ),
    "06.ignorance": Quick(
        4.29,
        "Minus the natural logarithm of the probability given to the right character.",
        "-ln(1/73) = ln 73 = 4.290.",
        within=0.005,
    ),
    "06.stream-letter": Quick(
        "q",
        "The second row begins in the middle, at m, and each piece is four letters long.",
        "Its first piece reads m n o p, so the second begins with q.",
    ),
    "06.nucleus": Quick(
        3,
        "Add up the probabilities from the largest on, until the sum is 0.9 or more.",
        "0.5 + 0.3 = 0.8 is too little, 0.5 + 0.3 + 0.15 = 0.95 is enough: 3.",
    ),
    "06.perplexity": Quick(
        6.05,
        "Perplexity is e to the power of the loss in nats.",
        "exp(1.8) = 6.05: as unsure as between six equally likely characters.",
        within=0.01,
    ),
    "06.word-from-characters": Quick(
        0.03,
        "Probabilities one after the other multiply; the blank says that the word is over.",
        "0.2 x 0.5 x 0.6 x 0.5 = 0.03.",
        within=1e-6,
    ),
    "06.nucleus-shares": NUCLEUS,
    "06.lay-out": LAY_OUT,
}
