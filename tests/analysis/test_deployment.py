"""Deployment: every copy of a network says what the original says."""

import pytest
import torch
from torch import nn

from helpers.analysis import deployment
from helpers.nets.ablations import HeldLSTM
from helpers.nets.cnn import CNN1D
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import CausalCNN, LastStep

NO_ONNX = bool(deployment.missing_packages())
needs_onnx = pytest.mark.skipif(NO_ONNX, reason="onnx, onnxscript or onnxruntime is not installed")
CELLS = {
    "CNN": lambda: CausalCNN(3, 6, kernel_size=3, layers=3, per_layer=1),
    "CNN, two a layer": lambda: CausalCNN(4, 4, kernel_size=2, layers=2, per_layer=2),
    "CNN, one tap": lambda: CausalCNN(3, 5, kernel_size=1, layers=2, per_layer=1),
    "LSTM": lambda: LSTM(3, 5),
    "GRU": lambda: GRU(3, 5),
    "RNN": lambda: RNN(3, 5),
}


def network(name: str) -> LastStep:
    torch.manual_seed(0)
    return LastStep(CELLS[name](), 4).eval()


def sequence(inputs: int, length: int = 25) -> torch.Tensor:
    return torch.randn(length, inputs, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CELLS)
def test_a_stream_says_at_every_token_what_the_network_says(name):
    net = network(name)
    kind = deployment.CNNStream if "CNN" in name else deployment.CellStream
    reader, x = kind(net), sequence(net.cell.inputs)
    for t, token in enumerate(x):
        torch.testing.assert_close(
            reader.step(token), net(x[None, : t + 1])[0], atol=1e-5, rtol=1e-5
        )


def test_a_window_is_read_again_and_again():
    net, x = network("CNN"), sequence(3)
    reader = deployment.WindowStream(net, length=15, inputs=3)
    answers = [reader.step(token) for token in x]
    torch.testing.assert_close(answers[-1], net(x[None, -15:])[0])
    assert reader.nbytes == 15 * 3 * 4
    assert deployment.CellStream(network("LSTM")).nbytes == 2 * 5 * 4
    assert deployment.CNNStream(network("CNN")).nbytes == 4 * (2 * 3 + 4 * 6 + 8 * 6)


def test_streams_of_other_cells_are_refused():
    with pytest.raises(TypeError, match="CausalCNN"):
        deployment.CNNStream(network("LSTM"))
    with pytest.raises(TypeError, match="plain LSTM"):
        deployment.CellStream(LastStep(HeldLSTM(3, 5, forget=1.0)))


EXPORTED = {
    "CNN1D": (CNN1D, (40,)),
    "CausalCNN": (lambda: network("CNN"), (12, 3)),
    "LSTM": (lambda: network("LSTM"), (12, 3)),
    "GRU": (lambda: network("GRU"), (12, 3)),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_an_export_equals_the_network_at_any_batch_size(name, tmp_path):
    build, shape = EXPORTED[name]
    net, path = build().eval(), tmp_path / "net.onnx"
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(0))
    program = deployment.export(net, x[:1])  # an example of one is enough
    torch.testing.assert_close(program.module()(x), net(x))
    if NO_ONNX:
        pytest.skip("no ONNX here")
    operators = deployment.save_onnx(program, path)
    assert operators & {"Conv", "LSTM", "GRU"}
    for batch in (1, 2, 7):
        torch.testing.assert_close(
            deployment.run_onnx(path, x[:batch]), net(x[:batch]), atol=1e-5, rtol=0
        )
    left = deployment.quantise(path, tmp_path / "small.onnx")
    assert left == ({"GRU"} if name == "GRU" else set())
    assert (deployment.run_onnx(tmp_path / "small.onnx", x) - net(x)).abs().max() < 0.1


@needs_onnx
def test_missing_folders_and_files_are_named(tmp_path):
    program = deployment.export(nn.Linear(3, 2), torch.ones(2, 3))
    with pytest.raises(deployment.DeploymentError, match="none is no folder: create it first"):
        deployment.save_onnx(program, tmp_path / "none" / "net.onnx")
    deployment.save_onnx(program, tmp_path / "net.onnx")
    with pytest.raises(deployment.DeploymentError, match="none is no folder: create it first"):
        deployment.quantise(tmp_path / "net.onnx", tmp_path / "none" / "small.onnx")
    absent = tmp_path / "absent.onnx"
    for call in (
        lambda: deployment.run_onnx(absent, torch.ones(1, 3)),
        lambda: deployment.quantise(absent, tmp_path / "small.onnx"),
    ):
        with pytest.raises(deployment.DeploymentError, match=r"absent\.onnx is not there: write"):
            call()


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


def test_what_is_no_graph_is_refused_by_name():
    with pytest.raises(deployment.DeploymentError, match="Branching cannot be exported: "):
        deployment.export(Branching(), torch.ones(2, 3))


def test_absent_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(deployment.importlib.util, "find_spec", lambda name: None)
    assert deployment.missing_packages() == list(deployment.PACKAGES)
    for call in (
        lambda: deployment.run_onnx(tmp_path / "a", torch.ones(1)),
        lambda: deployment.quantise(tmp_path / "a", tmp_path / "b"),
    ):
        with pytest.raises(deployment.DeploymentError, match="onnxruntime not installed"):
            call()
