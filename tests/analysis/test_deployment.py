"""Deployment: every copy of a network says what the original says."""

import pytest
import torch
from torch import nn

from helpers.analysis import deployment
from helpers.nets.recurrent import GRU, LSTM, RNN
from helpers.nets.sequences import CausalCNN, LastStep, MaxOverTime

NO_ONNX = bool(deployment.missing_packages())
needs_onnx = pytest.mark.skipif(NO_ONNX, reason="onnx or onnxruntime is not installed")
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


READ = {"last step": LastStep, "largest": MaxOverTime}


@pytest.mark.slow
@needs_onnx
@pytest.mark.parametrize("read", [*READ, "cell"])
@pytest.mark.parametrize("name", CELLS)
def test_onnx_says_what_the_network_says_whole_and_in_pieces(name, read, tmp_path):
    torch.manual_seed(0)
    net = CELLS[name]() if read == "cell" else READ[read](CELLS[name](), 4).eval()
    inputs = (net if read == "cell" else net.cell).inputs
    x = torch.randn(7, 12, inputs, generator=torch.Generator().manual_seed(0))
    deployment.save_onnx(net, tmp_path / "net.onnx")
    for batch in (1, 7):
        there = deployment.run_onnx(tmp_path / "net.onnx", x[:batch])
        torch.testing.assert_close(there, net(x[:batch]), atol=1e-5, rtol=0)
    deployment.save_onnx(net, tmp_path / "stream.onnx", stream=True)
    reader = deployment.OnnxStream(tmp_path / "stream.onnx")
    answers = [torch.from_numpy(reader.step(token.numpy())) for token in x[0]]
    last = net(x[:1])[0, -1] if read == "cell" else net(x[:1])[0]
    torch.testing.assert_close(answers[-1].flatten(), last, atol=1e-5, rtol=0)


@needs_onnx
def test_missing_folders_and_files_are_named(tmp_path):
    net, x = network("CNN"), torch.ones(1, 5, 3)
    with pytest.raises(deployment.DeploymentError, match="none is no folder: create it first"):
        deployment.save_onnx(net, tmp_path / "none" / "net.onnx")
    with pytest.raises(deployment.DeploymentError, match=r"absent\.onnx is not there: write"):
        deployment.run_onnx(tmp_path / "absent.onnx", x)


@needs_onnx
def test_other_networks_are_refused_by_name(tmp_path):
    with pytest.raises(deployment.DeploymentError, match="Linear is not written as ONNX"):
        deployment.save_onnx(nn.Linear(3, 2), tmp_path / "net.onnx")


def test_absent_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(deployment.importlib.util, "find_spec", lambda name: None)
    assert deployment.missing_packages() == list(deployment.PACKAGES)
    with pytest.raises(deployment.DeploymentError, match="onnxruntime not installed"):
        deployment.run_onnx(tmp_path / "a", torch.ones(1))
