"""Small networks whose trainings take milliseconds."""

import pytest
from batch_size_problems import small_problem


@pytest.fixture
def make_problem():
    return small_problem
