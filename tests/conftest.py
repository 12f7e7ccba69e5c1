"""What all tests share: one thread, as notebooks have, devices, displays, evidence, a browser."""

import gc
import shutil
import sys

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_finish() -> None:
    """Search what was imported for garbage no more: statsmodels does at every correction."""
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch  # not above: the process that hands tests out to others does without

    torch.set_num_threads(1)


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA here")
    return torch.device(request.param)


@pytest.fixture
def shown(monkeypatch) -> list[dict]:
    """What the course displays, as MIME bundles."""
    bundles = []

    def display(data, raw, **_):
        assert raw
        bundles.append(data)

    for name, module in list(sys.modules.items()):
        if name.startswith("helpers.") and hasattr(module, "display"):
            monkeypatch.setattr(module, "display", display)
    return bundles


@pytest.fixture
def evidence(tmp_path, monkeypatch):
    """The folder of the evidence: empty, and all that is kept beside it in a temporary place."""
    from helpers.commands import course, proofs
    from helpers.evidence import experiment, findings, replication, store

    folder = tmp_path / "data" / "evidence"
    for module in (store, findings, replication):
        monkeypatch.setattr(module, "reference", lambda: folder)
    for module in (course, experiment, proofs):
        monkeypatch.setattr(module, "build_folder", lambda: tmp_path / "build")
    return folder


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests that look at pages."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()
