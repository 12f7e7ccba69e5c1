"""Networks for sequences: read-outs, the causal CNN and the language model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from helpers.nets.cnn import parameter_count
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import (
    AllSteps,
    CausalCNN,
    EveryStep,
    LanguageModel,
    LastStep,
    MaxOverTime,
    last_valid,
)

EXAMPLES = settings(max_examples=25, deadline=None, derandomize=True)
CLOSE = {"rtol": 0, "atol": 1e-12}
CELLS = {
    "RNN": lambda: RNN(2, 4),
    "LSTM": lambda: LSTM(2, 4),
    "GRU": lambda: GRU(2, 4),
    "CNN": lambda: CausalCNN(2, 4, kernel_size=2, layers=2),
}


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def text(*shape: int, tokens: int = 7) -> Tensor:
    return torch.randint(tokens, shape, generator=torch.Generator().manual_seed(0))


def cnn(*sizes: int, **options: int) -> CausalCNN:
    torch.manual_seed(0)
    return CausalCNN(*sizes, **options).double()


# ---------------------------------------------------------------- causal CNN


@pytest.mark.parametrize("per_layer", [1, 2])
def test_causal_cnn_equals_one_padded_on_the_left(per_layer):
    """The blocks of Bai et al. 2018, written with F.pad."""
    cell, x = cnn(2, 4, kernel_size=3, layers=3, per_layer=per_layer), noise(2, 30, 2)
    h = x.transpose(1, 2)
    for layer in range(3):
        added = h
        for convolution in cell.convolutions[per_layer * layer : per_layer * (layer + 1)]:
            assert convolution.dilation == (2**layer,)
            added = F.relu(convolution(F.pad(added, (2 * 2**layer, 0))))
        h = F.relu(added + (h if layer else cell.shortcut(h)))
    torch.testing.assert_close(cell(x), h.transpose(1, 2), **CLOSE)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"kernel_size": 3, "layers": 5, "per_layer": 1}, 63),
        ({"kernel_size": 7, "layers": 4}, 181),
        ({"kernel_size": 1, "layers": 4}, 1),
    ],
)
def test_receptive_fields_by_hand(options, field):
    assert CausalCNN(2, 3, **options).receptive_field == field


@EXAMPLES
@given(kernel_size=st.integers(1, 5), layers=st.integers(1, 4), per_layer=st.integers(1, 2))
def test_receptive_field_is_what_autograd_sees(kernel_size, layers, per_layer):
    cell = cnn(1, 6, kernel_size=kernel_size, layers=layers, per_layer=per_layer)
    with torch.no_grad():  # positive weights, so that no unit is silent behind its ReLU
        for parameter in cell.parameters():
            parameter.abs_()
    time = cell.receptive_field + 3
    x = noise(1, time, 1).abs().requires_grad_()
    for at in (time - 1, time - 3):
        (gradient,) = torch.autograd.grad(cell(x)[:, at].sum(), x)
        lags = [at - step for step in range(time)]
        assert (gradient[0, :, 0] > 0).tolist() == [0 <= k < cell.receptive_field for k in lags]


@EXAMPLES
@given(cuts=st.lists(st.integers(1, 6), min_size=1, max_size=6), kernel_size=st.integers(1, 3))
def test_reading_in_pieces_equals_reading_at_once(cuts, kernel_size):
    cell, x = cnn(2, 4, kernel_size=kernel_size, layers=3), noise(2, sum(cuts), 2)
    whole, last = cell.run(x)
    state, outputs = None, []
    for piece in x.split(cuts, dim=1):
        output, state = cell.run(piece, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, **CLOSE)
    torch.testing.assert_close(state, last, **CLOSE)


def test_causal_cnn_refuses_what_does_not_fit():
    cell = cnn(2, 3)
    with pytest.raises(ValueError, match=r"built for \(batch, time, 2\), the input has .*2, 5, 3"):
        cell(noise(2, 5, 3))
    _, state = cell.run(noise(2, 5, 2))
    with pytest.raises(ValueError, match="the state of this CausalCNN has shapes"):
        cell.run(noise(3, 5, 2), state)


# ---------------------------------------------------------------- read-outs


@pytest.mark.parametrize("name", CELLS)
def test_read_outs_say_what_a_dense_layer_makes_of_the_states(name):
    torch.manual_seed(0)
    cell, x = CELLS[name]().double(), noise(5, 9, 2)
    seen = cell(x)
    for net, read in (
        (LastStep(cell, 3), seen[:, -1]),
        (MaxOverTime(cell, 3), seen.max(dim=1).values),
        (AllSteps(cell, 9, 3), seen.reshape(5, 36)),
    ):
        torch.testing.assert_close(net.double()(x), net.head(read))
    every = EveryStep(cell, 3).double()
    assert every(x).shape == (5, 3, 9)
    torch.testing.assert_close(every(x)[:, :, 4], every.head(seen[:, 4]))


@pytest.mark.parametrize("length", [8, 10])
def test_a_length_that_does_not_fit_is_named(length):
    with pytest.raises(ValueError, match=f"built for 9 steps, the sequence has {length}"):
        AllSteps(LSTM(3, 5), length=9)(noise(2, length, 3).float())


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_last_valid_is_the_state_of_the_unpadded_sequence(cell):
    torch.manual_seed(0)
    cell, x, lengths = cell(2, 4).double(), noise(4, 9, 2), torch.tensor([1, 9, 4, 6])
    for length, state, sequence in zip(lengths, last_valid(cell(x), lengths), x, strict=True):
        torch.testing.assert_close(state, cell(sequence[None, :length])[0, -1])


@pytest.mark.parametrize("wrong", [0, -1, 10])
def test_last_valid_refuses_lengths_outside_the_tensor(wrong):
    with pytest.raises(ValueError, match=rf"lengths \[{wrong}\] for sequences of 1 to 9 steps"):
        last_valid(noise(2, 9, 3), torch.tensor([3, wrong]))


def test_the_first_five_wrong_lengths_are_named():
    with pytest.raises(ValueError, match=r"^lengths \[10, 11, 12, 13, 14\] for"):
        last_valid(noise(7, 9, 3), torch.tensor([3, 10, 11, 12, 13, 14, 15]))


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


def test_tied_weights_are_stored_once_and_learn_from_both_uses():
    tied, free = language_model(tie=True), language_model()
    assert parameter_count(free) - parameter_count(tied) == 7 * 5
    tied(torch.zeros(1, 1, dtype=torch.int64))[0, 3].sum().backward()
    moved = tied.embedding.weight.grad.abs().sum(1) > 0
    assert moved.tolist() == [k in (0, 3) for k in range(7)]  # read token 0, wrote token 3


def test_tied_weights_start_where_logits_are_of_ordinary_size():
    torch.manual_seed(0)
    weights = LanguageModel(2000, LSTM(64, 64), tie=True).embedding.weight
    assert weights.std().item() == pytest.approx(1 / 8, rel=0.02)


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize(
    "cell", [RNN, LSTM, GRU, lambda *sizes: CausalCNN(*sizes, kernel_size=2, layers=2)]
)
def test_language_model_is_a_read_out_of_its_cell_and_reads_tokens_one_by_one(cell, tie):
    torch.manual_seed(0)
    model, tokens = LanguageModel(7, cell(5, 5), tie).double(), text(2, 12)
    whole, h = model(tokens), model.cell(model.embedding(tokens))
    weight, bias = (model.embedding.weight, model.bias) if tie else model.head.parameters()
    torch.testing.assert_close(whole, (h @ weight.T + bias).transpose(1, 2))
    state, logits = None, []
    for token in tokens.split(1, dim=1):
        step, state = model.run(token, state)
        logits.append(step)
    torch.testing.assert_close(torch.cat(logits, 2), whole, **CLOSE)


def test_dropout_acts_in_training_only():
    model, tokens = language_model(dropout=0.5), text(3, 10)
    assert not torch.equal(model(tokens), model(tokens))
    torch.testing.assert_close(model.eval()(tokens), language_model()(tokens))


def test_language_model_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="embedding of size 5 and as read-out of 6 units: build"):
        LanguageModel(7, LSTM(5, 6), tie=True)
    for wrong in (text(10), text(3, 10).float(), text(3, 10).int()):
        with pytest.raises(ValueError, match=r"reads tokens \(batch, time\) of type int64, not"):
            language_model()(wrong)
