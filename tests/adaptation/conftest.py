"""Tasks small enough for a test; the network they start from is pretrained once."""

import pytest


@pytest.fixture(scope="session")
def small() -> dict[str, int]:
    return {"width": 16, "blocks": 1, "pretraining": 1, "examples": 100}
