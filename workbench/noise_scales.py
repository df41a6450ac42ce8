"""``noise_scale``: noise, signal and their ratio, from the gradients of random minibatches."""

import math

import numpy as np

from workbench.moment import Reading
from workbench.result import standard_error


def noise_scale(distances: np.ndarray, square: float, size: float, examples: int) -> dict[str, Reading]:
    """Noise scale, noise and signal from |g_B - g|² (batches,), |g|², B and N; errors to first order."""
    return noise_scale_of(distances / (1 / size - 1 / examples), square, examples)


def noise_scale_of(
    samples: np.ndarray, square: float, examples: int, disjoint: bool = False
) -> dict[str, Reading]:
    """The same from estimates of the noise (batches,), each from one batch, which count alike.

    Batches that are ``disjoint`` and make up all the data depend on each other through their mean. For normal
    gradients in m batches of a size, the variance of the mean estimate is larger by (m - 1) / (m - 2) than
    their scatter says (derived here); with two, they are equal, and there is no error.
    """
    noise, error = float(samples.mean()), float(standard_error(samples))
    if disjoint:
        count = len(samples)
        error = error * math.sqrt((count - 1) / (count - 2)) if count > 2 else math.nan
    signal = square - noise / examples
    ratio = Reading(math.inf, math.nan)
    if signal > 0:
        # d(noise / signal) / d(noise), as the signal falls with the noise
        ratio = Reading(noise / signal, error * square / signal**2)
    return {"": ratio, "noise": Reading(noise, error), "signal": Reading(signal, error / examples)}
