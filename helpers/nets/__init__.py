"""Nets: the networks of the course, from their equations."""

from helpers.nets.ablations import HeldLSTM, TiedLSTM, Wiped
from helpers.nets.cnn import (
    CNN1D,
    MLP,
    SimpleCNN,
    correlate,
    freeze,
    output_size,
    parameter_count,
    width_for,
)
from helpers.nets.dropout import Dropout, RandomShift
from helpers.nets.normalisation import (
    BatchNormOverTime,
    LayerNormOverTime,
    NormalisedLSTM,
    NormalisedRNN,
)
from helpers.nets.recurrent import GRU, LSTM, RNN, Cell
from helpers.nets.sequences import (
    AllSteps,
    CausalCNN,
    EveryStep,
    LanguageModel,
    LastStep,
    MaxOverTime,
    SequenceCell,
    last_valid,
)
from helpers.nets.starts import (
    Build,
    chrono_,
    forget_bias_,
    gaussian_,
    identity_,
    initialise,
    orthogonal_,
)
