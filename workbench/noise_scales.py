"""``noise_scale``: noise, signal and their ratio, from the gradients of random minibatches."""

import math

import numpy as np

from workbench.moment import Reading
from workbench.result import standard_error


def noise_scale(distances: np.ndarray, square: float, size: float, examples: int) -> dict[str, Reading]:
    """Noise scale, noise and signal from |g_B - g|² (batches,), |g|², B and N; errors to first order."""
    samples = distances / (1 / size - 1 / examples)
    noise, error = float(samples.mean()), float(standard_error(samples))
    signal = square - noise / examples
    ratio = Reading(math.inf, math.nan)
    if signal > 0:
        # d(noise / signal) / d(noise), as the signal falls with the noise
        ratio = Reading(noise / signal, error * square / signal**2)
    return {"": ratio, "noise": Reading(noise, error), "signal": Reading(signal, error / examples)}
