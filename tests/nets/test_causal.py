"""Networks for sequences: read-outs, the causal CNN and the language model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F

from helpers.nets.cnn import parameter_count
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import CausalCNN, EveryStep, LanguageModel, LastStep, Layers, last_valid
from helpers.training.engine.stacking import Stack

EXAMPLES = settings(max_examples=25, deadline=None, derandomize=True)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def text(*shape: int, tokens: int = 7) -> Tensor:
    return torch.randint(tokens, shape, generator=torch.Generator().manual_seed(0))


def cnn(*sizes: int, **options: int) -> CausalCNN:
    torch.manual_seed(0)
    return CausalCNN(*sizes, **options).double()


def lags_that_matter(cell: nn.Module, time: int, at: int) -> list[int]:
    """Steps of the input that move the output of step `at`, as lags; by autograd."""
    x = noise(4, time, cell.inputs).requires_grad_()
    (gradient,) = torch.autograd.grad(cell(x)[:, at].sum(), x)
    return (at - gradient.abs().sum((0, 2)).nonzero().flatten()).sort().values.tolist()


# ---------------------------------------------------------------- causal CNN


def test_causal_cnn_is_the_stated_sum():
    """One layer of one convolution, by hand: y_t = relu(relu(sum_k w_k x_(t-k) + b) + x_t)."""
    cell, x = cnn(3, 3, kernel_size=2, layers=1, per_layer=1), noise(2, 5, 3)
    weight, bias = cell.convolutions[0].weight, cell.convolutions[0].bias
    for t in range(5):
        before = x[:, t - 1] if t else torch.zeros(2, 3).double()
        added = F.relu(before @ weight[:, :, 0].T + x[:, t] @ weight[:, :, 1].T + bias)
        torch.testing.assert_close(cell(x)[:, t], F.relu(added + x[:, t]))


def test_causal_cnn_equals_one_padded_on_the_left():
    """The blocks of Bai et al. 2018, written with F.pad."""
    cell, x = cnn(2, 4, kernel_size=3, layers=3), noise(2, 30, 2)
    h = x.transpose(1, 2)
    for layer in range(3):
        added = h
        for convolution in cell.convolutions[2 * layer : 2 * layer + 2]:
            assert convolution.dilation == (2**layer,)
            added = F.relu(convolution(F.pad(added, (2 * 2**layer, 0))))
        h = F.relu(added + (h if layer else cell.shortcut(h)))
    torch.testing.assert_close(cell(x), h.transpose(1, 2), rtol=0, atol=1e-12)


@EXAMPLES
@given(kernel_size=st.integers(1, 5), layers=st.integers(1, 4), per_layer=st.integers(1, 2))
def test_receptive_field_is_what_autograd_sees(kernel_size, layers, per_layer):
    cell = cnn(1, 6, kernel_size=kernel_size, layers=layers, per_layer=per_layer)
    # Positive weights, so that no unit is silent behind its ReLU.
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.abs_()
    time = cell.receptive_field + 3
    x = noise(1, time, 1).abs().requires_grad_()
    (gradient,) = torch.autograd.grad(cell(x)[:, -1].sum(), x)
    reached = gradient[0, :, 0].flip(0) > 0
    assert reached.tolist() == [lag < cell.receptive_field for lag in range(time)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"kernel_size": 3, "layers": 5, "per_layer": 1}, 63),
        ({"kernel_size": 3, "layers": 2, "per_layer": 1}, 7),
        ({"kernel_size": 7, "layers": 4}, 181),
        ({"kernel_size": 1, "layers": 4}, 1),
    ],
)
def test_receptive_fields_by_hand(options, field):
    assert CausalCNN(2, 3, **options).receptive_field == field


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_no_output_depends_on_a_later_step(kernel_size):
    cell = cnn(2, 6, kernel_size=kernel_size, layers=3)
    for at in (0, 5, 19):
        lags = lags_that_matter(cell, time=20, at=at)
        assert lags[0] == 0 and lags[-1] < cell.receptive_field
    x = noise(1, 20, 2)
    changed = x.clone()
    changed[:, 12:] += 1
    torch.testing.assert_close(cell(x)[:, :12], cell(changed)[:, :12], rtol=0, atol=0)
    assert not torch.allclose(cell(x)[:, 12], cell(changed)[:, 12])


@EXAMPLES
@given(
    cuts=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    kernel_size=st.integers(1, 3),
)
def test_reading_in_pieces_equals_reading_at_once(cuts, kernel_size):
    cell, x = cnn(2, 4, kernel_size=kernel_size, layers=3), noise(2, sum(cuts), 2)
    whole, last = cell.run(x)
    state, outputs = None, []
    for piece in x.split(cuts, dim=1):
        output, state = cell.run(piece, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=0, atol=1e-12)
    for part, other in zip(state, last, strict=True):
        torch.testing.assert_close(part, other, rtol=0, atol=1e-12)


def test_causal_cnn_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="0 taps and 4 layers of 2 convolutions: use 1 or more"):
        CausalCNN(2, 3, kernel_size=0)
    cell = cnn(2, 3)
    with pytest.raises(ValueError, match=r"built for \(batch, time, 2\), the input has .*2, 5, 3"):
        cell(noise(2, 5, 3))
    _, state = cell.run(noise(2, 5, 2))
    with pytest.raises(ValueError, match="the state of this CausalCNN has shapes"):
        cell.run(noise(3, 5, 2), state)


# ---------------------------------------------------------------- read-out


@pytest.mark.parametrize("cell", [lambda: RNN(2, 4), lambda: CausalCNN(2, 4)], ids=["RNN", "CNN"])
def test_heads_read_the_last_step_or_every_step(cell):
    torch.manual_seed(0)
    last, every = LastStep(cell(), 3), EveryStep(cell(), 3)
    every.load_state_dict(last.state_dict())
    x = noise(5, 9, 2).float()
    assert last(x).shape == (5, 3) and every(x).shape == (5, 3, 9)
    torch.testing.assert_close(every(x)[:, :, -1], last(x))
    loss = F.cross_entropy(every(x), torch.randint(3, (5, 9)))
    assert loss.isfinite()


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_last_valid_is_the_state_of_the_unpadded_sequence(cell):
    torch.manual_seed(0)
    cell, x, lengths = cell(2, 4).double(), noise(4, 9, 2), torch.tensor([1, 9, 4, 6])
    for length, state, sequence in zip(lengths, last_valid(cell(x), lengths), x, strict=True):
        torch.testing.assert_close(state, cell(sequence[None, :length])[0, -1])


def test_last_valid_equals_packing():
    torch.manual_seed(0)
    x, lengths = noise(4, 9, 2), torch.tensor([1, 9, 4, 6])
    theirs = nn.GRU(2, 4, batch_first=True).double()
    ours = GRU(2, 4).double()
    ours.load_state_dict(theirs.state_dict())
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    torch.testing.assert_close(last_valid(ours(x), lengths), theirs(packed)[1][0])


@pytest.mark.parametrize("wrong", [0, -1, 10])
def test_last_valid_refuses_lengths_outside_the_tensor(wrong):
    message = rf"lengths \[{wrong}\] for sequences of 1 to 9 steps"
    with pytest.raises(ValueError, match=message):
        last_valid(noise(2, 9, 3), torch.tensor([3, wrong]))


def test_last_valid_in_a_stack():
    outputs, lengths = noise(3, 4, 9, 2), torch.tensor([[1, 9, 4, 6], [2, 2, 2, 2], [9, 8, 7, 6]])
    alone = torch.stack([last_valid(o, n) for o, n in zip(outputs, lengths, strict=True)])
    assert torch.equal(vmap(last_valid)(outputs, lengths), alone)
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        vmap(last_valid)(outputs, lengths + 1)


# ---------------------------------------------------------------- language model


def language_model(tie: bool = False, **options) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(7, LSTM(5, 5), tie=tie, **options).double()


@pytest.mark.parametrize("tie", [False, True])
def test_language_model_gives_logits_for_every_step(tie):
    model, tokens = language_model(tie), text(3, 10)
    logits = model(tokens)
    assert logits.shape == (3, 7, 10)
    h = model.cell(model.embedding(tokens))
    weight = model.embedding.weight if tie else model.head.weight
    bias = model.bias if tie else model.head.bias
    torch.testing.assert_close(logits[:, :, 4], h[:, 4] @ weight.T + bias)
    assert F.cross_entropy(logits, text(3, 10)).isfinite()


def test_tied_weights_are_stored_once_and_learn_from_both_uses():
    tied, free = language_model(tie=True), language_model()
    assert parameter_count(free) - parameter_count(tied) == 7 * 5
    assert len({p.data_ptr() for p in tied.parameters()}) == len(list(tied.parameters()))
    tied(torch.zeros(1, 1, dtype=torch.int64))[0, 3].sum().backward()
    moved = tied.embedding.weight.grad.abs().sum(1) > 0
    assert moved.tolist() == [k in (0, 3) for k in range(7)]  # read token 0, wrote token 3


def test_a_new_model_guesses_about_evenly():
    for tie in (False, True):
        torch.manual_seed(0)
        model = LanguageModel(50, GRU(64, 64), tie=tie)
        loss = F.cross_entropy(model(text(4, 20, tokens=50)), text(4, 20, tokens=50))
        assert loss.item() == pytest.approx(math.log(50), abs=0.3)


@pytest.mark.parametrize(
    "cell",
    [
        lambda: RNN(5, 6),
        lambda: LSTM(5, 6),
        lambda: GRU(5, 6),
        lambda: CausalCNN(5, 6, kernel_size=2, layers=2),
        lambda: Layers(LSTM(5, 6), LSTM(6, 6)),
    ],
    ids=["RNN", "LSTM", "GRU", "CNN", "layers"],
)
def test_language_model_reads_tokens_one_by_one(cell):
    torch.manual_seed(0)
    model, tokens = LanguageModel(7, cell()).double(), text(2, 12)
    state, logits = None, []
    for token in tokens.split(1, dim=1):
        step, state = model.run(token, state)
        logits.append(step)
    torch.testing.assert_close(torch.cat(logits, 2), model(tokens), rtol=0, atol=1e-12)


def test_dropout_acts_in_training_only():
    model, tokens = language_model(dropout=0.5), text(3, 10)
    assert not torch.equal(model(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))
    torch.testing.assert_close(model(tokens), language_model()(tokens))


def test_language_model_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="embedding of size 5 and as read-out of 6 units: build"):
        LanguageModel(7, LSTM(5, 6), tie=True)
    with pytest.raises(ValueError, match="a language model of 0 tokens"):
        LanguageModel(0, LSTM(5, 6))
    for wrong in (text(10), text(3, 10).float(), text(3, 10).int()):
        with pytest.raises(ValueError, match=r"reads tokens \(batch, time\) of type int64, not"):
            language_model()(wrong)


# ---------------------------------------------------------------- in a stack

STACKABLE = {
    "CNN": (lambda: LastStep(CausalCNN(2, 4, layers=2), 7), False),
    "CNN at every step": (lambda: EveryStep(CausalCNN(2, 2, kernel_size=1, layers=2), 7), False),
    "GRU at every step": (lambda: EveryStep(GRU(2, 4), 7), False),
    "language model": (lambda: LanguageModel(7, LSTM(4, 5)), True),
    "tied": (lambda: LanguageModel(7, GRU(4, 4), tie=True), True),
    "wiped": (lambda: LanguageModel(7, LSTM(4, 4, wipe_every=4)), True),
    "of a CNN": (lambda: LanguageModel(7, CausalCNN(3, 4, layers=2)), True),
    "of layers": (lambda: LanguageModel(7, Layers(LSTM(3, 4), LSTM(4, 4))), True),
}


@pytest.mark.parametrize("name", STACKABLE)
def test_a_stack_equals_its_networks_alone(name):
    build, reads_tokens = STACKABLE[name]
    torch.manual_seed(0)
    models = [build().double() for _ in range(3)]
    x = text(3, 5, 11) if reads_tokens else noise(3, 5, 11, 2)
    y = text(3, 5) if "CNN" == name else text(3, 5, 11)
    stack = Stack(models, F.cross_entropy)
    losses = stack.losses(x, y)
    losses.sum().backward()
    for k, model in enumerate(models):
        alone = F.cross_entropy(model(x[k]), y[k])
        alone.backward()
        torch.testing.assert_close(losses[k], alone, rtol=0, atol=1e-12)
        for key, parameter in model.named_parameters():
            stacked = stack.parameters[key].grad[k]
            torch.testing.assert_close(stacked, parameter.grad, rtol=0, atol=1e-12)


def test_dropout_in_a_stack_differs_between_networks():
    models = [language_model(dropout=0.5) for _ in range(2)]  # equal weights
    first, second = Stack(models, F.cross_entropy).forward(text(3, 10), shared=True)
    assert not torch.allclose(first, second)
