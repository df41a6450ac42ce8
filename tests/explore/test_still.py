"""What a report shows in place of an explorer: the picture for print is small, whatever is in it."""

import base64

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.explore.still import Still
from workbench.result import Result, new_axes


class Drawn(Result):
    """A result that is a picture."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame()

    def plot(self, ax=None):
        ax = new_axes(ax)
        ax.imshow(self.image)
        return ax

    def summary(self) -> str:
        return "a picture"


@pytest.mark.parametrize(
    ("image", "kind", "begins"),
    [
        (np.zeros((4, 4, 3)), "image/png", b"\x89PNG"),
        (np.random.default_rng(0).random((300, 300, 3)), "image/jpeg", b"\xff\xd8"),
    ],
)
def test_a_photograph_is_printed_as_a_jpeg_and_all_else_as_a_png(image, kind, begins):
    bundle = Still(go.Figure(), {"drawn": Drawn(image)})._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json", kind, "text/plain"}
    assert base64.b64decode(bundle[kind]).startswith(begins)
