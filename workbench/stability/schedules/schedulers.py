"""``scheduler``: a learning-rate scheduler of torch from the factors of a schedule."""

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def scheduler(optimizer: Optimizer, rates: np.ndarray) -> LambdaLR:
    """Multiply the learning rates of all groups by ``rates[t]`` at step t; to be stepped after every step.

    After the last step the rate stays at the last factor.

    Raises
    ------
    ValueError
        If ``rates`` is no vector of finite numbers of at least 0.
    """
    factors = np.asarray(rates, dtype=float)
    if factors.ndim != 1 or not factors.size:
        raise ValueError(f"rates has the shape {factors.shape}: it must be one factor for each step")
    if not (np.isfinite(factors) & (factors >= 0)).all():
        worst = factors[~(np.isfinite(factors) & (factors >= 0))][0]
        raise ValueError(f"rates holds {worst}: every factor must be finite and at least 0")
    return LambdaLR(optimizer, lambda step: float(factors[min(step, len(factors) - 1)]))
