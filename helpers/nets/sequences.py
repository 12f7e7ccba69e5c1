"""Networks that read sequences: what is read from a cell, a causal CNN, a language model.

A cell, whether recurrent (`recurrent`), or convolutional, maps (batch, time,
inputs) to (batch, time, hidden), and what it says at step t depends on the steps up to t alone.
`run` also takes and returns the state, so that a sequence can be read in pieces.

The read-out decides as much as the cell does what a network can tell: the last step is one moment,
the largest value of every channel has no place in time, all steps side by side do, each its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.data.given import check_tensor, check_whole
from helpers.nets.dropout import check_probability

State = tuple[Tensor, ...]  # what a cell remembers; None stands for the start of a sequence


class SequenceCell(nn.Module):
    """What reads a sequence and remembers: RNN, LSTM, GRU, CausalCNN; one's own needs a `run`."""

    inputs: int
    hidden: int

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (batch, time, hidden) of sequences (batch, time, inputs), as by `run`."""
        return self.run(x)[0]

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The same from a state on, and the state after the last step."""
        raise NotImplementedError

    def state_shapes(self, batch: int) -> list[tuple[int, ...]]:
        """Shape of every tensor in its state."""
        raise NotImplementedError

    @property
    def parts(self) -> int:
        """Tensors in its state."""
        return len(self.state_shapes(1))

    def start(self, x: Tensor, state: State | None = None) -> State:
        """The state before the first step; raises ValueError for shapes that do not fit."""
        name = type(self).__name__
        if x.ndim != 3 or x.shape[-1] != self.inputs or x.shape[1] < 1:
            raise ValueError(
                f"{name} was built for (batch, time, {self.inputs}), "
                f"the input has shape {tuple(x.shape)}"
            )
        expected = self.state_shapes(x.shape[0])  # of len(x) torch.export would make a constant
        if state is None:
            return tuple(x.new_zeros(shape) for shape in expected)
        if (given := [tuple(part.shape) for part in state]) != expected:
            raise ValueError(f"the state of this {name} has shapes {expected}, not {given}")
        return tuple(state)


# --- read-out --------------------------------------------------------------------------------


class LastStep(nn.Module):
    """One answer to a sequence, (batch, outputs), from what the cell says at the last step."""

    def __init__(self, cell: SequenceCell, outputs: int = 10):
        super().__init__()
        check_whole(outputs=outputs)
        self.cell = cell
        self.head = nn.Linear(cell.hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[:, -1])


class EveryStep(LastStep):
    """One answer at every step, (batch, outputs, time), the order that F.cross_entropy wants."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)).transpose(1, 2)


class MaxOverTime(LastStep):
    """One answer to a sequence, (batch, outputs), from each channel's largest value over time.

    Collobert et al. 2011, "Natural language processing (almost) from scratch", section 3.3.2.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x).amax(1))


class AllSteps(nn.Module):
    """One answer to a sequence, (batch, outputs), from what the cell says at all `length` steps.

    Every step has weights of its own, so that only sequences of that length can be read.
    Raises ValueError for another length.
    """

    def __init__(self, cell: SequenceCell, length: int, outputs: int = 10):
        super().__init__()
        check_whole(length=length, outputs=outputs)
        self.cell, self.length = cell, length
        self.head = nn.Linear(cell.hidden * length, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.length:
            raise ValueError(
                f"this read-out was built for {self.length} steps, the sequence has {x.shape[1]}: "
                "cut or pad it, or read the last step (LastStep)"
            )
        return self.head(self.cell(x).flatten(1))


def last_valid(outputs: Tensor, lengths: Tensor) -> Tensor:
    """The output (batch, hidden) at each sequence's own last step, before the padding begins.

    `outputs` is (batch, time, hidden), `lengths` int64 (batch,).
    Raises ValueError for other shapes and types, and a length below 1 or beyond the tensor; in a
    stack, where values cannot be looked at, torch's own index error.

    >>> last_valid(torch.arange(6.0).view(2, 3, 1), torch.tensor([1, 3]))
    tensor([[0.],
            [5.]])
    """
    check_tensor("batch, time, hidden", outputs=outputs)
    integers = isinstance(lengths, Tensor) and lengths.dtype == torch.int64
    if not integers or lengths.shape != outputs.shape[:1]:
        raise ValueError(f"lengths are {lengths!r:.80}: use int64, one for each sequence")
    time = outputs.shape[1]
    if wrong := _visibly_wrong(lengths, time):
        raise ValueError(f"lengths {wrong[:5]} for sequences of 1 to {time} steps")
    index = (lengths - 1)[:, None, None].expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index)[:, 0]


def _visibly_wrong(lengths: Tensor, time: int) -> list[int]:
    try:
        return lengths[(lengths < 1) | (lengths > time)].tolist()
    except RuntimeError:  # inside a stack, whose values vmap does not show
        return []


# --- cells -----------------------------------------------------------------------------------


class CausalCNN(SequenceCell):
    """Convolutions along time that never look ahead, a cell without recurrence.

    Maps (batch, time, inputs) to (batch, time, channels) through residual layers, each of some
    convolutions of `kernel_size` taps that lie 1, 2, 4, ... steps apart: what a layer adds to the
    past it sees doubles from layer to layer (Bai et al. 2018, "An empirical evaluation of generic
    convolutional and recurrent networks", section 3, without weight normalisation and dropout).
    They use two convolutions a layer; one, of three taps, sees 3, 7, 15, ... steps. What lies
    before the first step is zero.

    Raises ValueError for sizes below 1.

    >>> CausalCNN(2, 8, kernel_size=3, layers=5, per_layer=1).receptive_field
    63
    """

    convolutions: Sequence[nn.Conv1d]

    def __init__(
        self, inputs: int, channels: int, kernel_size: int = 3, layers: int = 4, per_layer: int = 2
    ):
        super().__init__()
        check_whole(inputs=inputs, channels=channels, kernel_size=kernel_size)
        check_whole(layers=layers, per_layer=per_layer)
        self.inputs, self.hidden, self.per_layer = inputs, channels, per_layer
        self.convolutions = nn.ModuleList(  # pyrefly: ignore[bad-assignment]
            nn.Conv1d(
                channels if n else inputs, channels, kernel_size, dilation=2 ** (n // per_layer)
            )
            for n in range(layers * per_layer)
        )
        self.shortcut = nn.Identity() if inputs == channels else nn.Conv1d(inputs, channels, 1)

    @property
    def receptive_field(self) -> int:
        """Steps that an output depends on, its own included."""
        return 1 + sum(reach(convolution) for convolution in self.convolutions)

    def state_shapes(self, batch: int) -> list[tuple[int, ...]]:
        """The last inputs of every convolution, (batch, channels, reach) each."""
        return [(batch, conv.in_channels, reach(conv)) for conv in self.convolutions]

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs of sequences (batch, time, inputs), and what later steps will still see.

        Raises ValueError for inputs or a state of another shape.
        """
        past = self.start(x, state)
        x, seen = x.transpose(1, 2), []  # (batch, channels, time)
        for n, (convolution, before) in enumerate(zip(self.convolutions, past, strict=True)):
            if n % self.per_layer == 0:
                shortcut = x if n else self.shortcut(x)
            x = torch.cat([before, x], dim=2)
            seen.append(x[:, :, x.shape[2] - before.shape[2] :])
            x = F.relu(convolution(x))
            if (n + 1) % self.per_layer == 0:
                x = F.relu(x + shortcut)
        return x.transpose(1, 2), tuple(seen)


def reach(convolution: nn.Conv1d) -> int:
    """Steps before its own that a causal convolution sees."""
    return (convolution.kernel_size[0] - 1) * convolution.dilation[0]


# --- language --------------------------------------------------------------------------------


class LanguageModel(nn.Module):
    """The next token's logits at every step: embedding, cell, read-out.

    Maps tokens (batch, time) int64 to logits (batch, tokens, time); the embedding has the size
    `cell.inputs`. Dropout acts on the embedding and before the read-out. With `tie` the read-out
    uses the embedding's weights (Press and Wolf 2017, "Using the output embedding to improve
    language models"), which then start small enough for logits of ordinary size.

    Raises ValueError for no tokens, a dropout outside [0, 1), and for tied weights of a cell with
    inputs != hidden.
    """

    def __init__(self, tokens: int, cell: SequenceCell, tie: bool = False, dropout: float = 0.0):
        super().__init__()
        check_whole(tokens=tokens)
        check_probability(dropout)
        if tie and cell.inputs != cell.hidden:
            raise ValueError(
                f"tied weights serve as embedding of size {cell.inputs} and as read-out of "
                f"{cell.hidden} units: build the cell with inputs = hidden, or use tie=False"
            )
        self.embedding = nn.Embedding(tokens, cell.inputs)
        self.cell, self.dropout, self.tie = cell, nn.Dropout(dropout), tie
        # Tied weights have one name: under two, a stack would pull them apart.
        self.head = None if tie else nn.Linear(cell.hidden, tokens)
        self.bias = nn.Parameter(torch.zeros(tokens)) if tie else None
        if tie:
            nn.init.normal_(self.embedding.weight, std=cell.inputs**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, tokens, time) of the token after each; from the start of a text.

        Raises ValueError for tokens of another shape or type.
        """
        return self.run(tokens)[0]

    def run(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits that continue a text from a state on, and the state after its last token.

        Raises ValueError for tokens or a state of another shape or type.
        """
        if tokens.ndim != 2 or tokens.dtype != torch.int64:
            raise ValueError(
                "a language model reads tokens (batch, time) of type int64, "
                f"not {tuple(tokens.shape)} of {tokens.dtype}"
            )
        h, state = self.cell.run(self.dropout(self.embedding(tokens)), state)
        return self.read_out(self.dropout(h)).transpose(1, 2), state

    def read_out(self, h: Tensor) -> Tensor:
        """Logits (..., tokens) from what the cell says (..., hidden)."""
        if self.head is None:
            return F.linear(h, self.embedding.weight, self.bias)
        return self.head(h)
