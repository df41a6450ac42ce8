import pytest
from curvature_cases import NAMES, Case, build


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return build(request.param)
