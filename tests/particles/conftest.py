import pytest
import torch


@pytest.fixture(autouse=True)
def _threads():
    """Tests that set the number of threads leave it as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
