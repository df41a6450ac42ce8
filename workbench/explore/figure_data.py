"""Numbers in the form in which a plotly figure keeps them."""

from typing import Any

import numpy as np


def as_list(values: Any) -> list[Any]:
    """Return nested lists of an array or a tensor; what is not finite is None, which is drawn as a gap."""
    array = np.asarray(values, dtype=float)
    listed = array.astype(object)
    listed[~np.isfinite(array)] = None
    return listed.tolist()
