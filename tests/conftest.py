"""What all tests share: no cache unless a test asks for one; every device there is."""

import pytest
import torch

from helpers.training.engine import execution


@pytest.fixture(autouse=True)
def no_cache():
    """Nothing that another test trained is found again."""
    execution.use_cache(None)
    yield
    execution.use_cache(None)


@pytest.fixture(params=["cpu", "cuda"])
def device(request) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA here")
    return torch.device(request.param)
