"""Numbers for plotly: a gap for what is not finite."""

import numpy as np
import torch

from workbench.explore.figure_data import as_list


def test_what_is_not_finite_is_none():
    assert as_list(np.array([[1.0, np.nan], [np.inf, -2.5]])) == [[1.0, None], [None, -2.5]]
    assert as_list(torch.tensor([1, 2])) == [1.0, 2.0]
    assert as_list([]) == []
