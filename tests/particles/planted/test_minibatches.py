"""Minibatch SGD: rates and batches by their formula, the scatter that these rest on, the claim."""

import math

import pytest
import torch

from workbench.particles.planted.chains import langevin
from workbench.particles.planted.index_models import single_index
from workbench.particles.planted.minibatches import _batch_gradient, batch_size, minibatch_sgd
from workbench.particles.planted.sphere import tangent
from workbench.particles.planted.tensors import tensor_pca


def test_all_samples_once_are_the_gradient_of_the_mean_loss():
    model = single_index(5, [30], runs=3, dtype=torch.float64)
    theta = model.direction.roll(1, -1)
    mean = _batch_gradient(model, theta, torch.arange(30).expand(3, 30))
    torch.testing.assert_close(mean, model.force(theta[:, None])[:, 0] * math.sqrt(1.25 / 30))


def test_a_sample_scatters_as_the_rate_assumes():
    """At the equator a gradient of one sample has variance k (1 + noise^2) in every direction."""
    model = single_index(4, [400_000], 2, runs=1, dtype=torch.float64)
    v = model.direction[0]
    theta = tangent(v, torch.eye(4, dtype=torch.float64)[0])
    theta = theta / theta.norm()
    x, y = model.inputs[0], model.labels[0]
    other = tangent(theta, tangent(v, torch.eye(4, dtype=torch.float64)[1]))
    samples = y * math.sqrt(2) * (x @ theta) * (x @ (other / other.norm()))
    squares = samples.square()
    assert squares.mean() == pytest.approx(2 * 1.25, abs=5 * float(squares.std()) / math.sqrt(400_000))


def test_batch_and_rate():
    model = single_index(10, [1000], 3, runs=2)
    found = minibatch_sgd(model, beta=0.3, step=0.2, length=0.1)
    (batch,), (rate,) = found.settings["batches"], found.settings["rates"]
    assert batch == batch_size(model, 1000, 0.3, 0.2) == 27
    assert rate == pytest.approx(2 * 27 / (3 * 0.3 * math.sqrt(1000 * 10 * 1.25)))
    elapsed = float(found.times[-1, 0]) / found.steps
    assert elapsed == pytest.approx(9 / 10 * 2 * 27 / (3 * 0.09 * 1000), rel=1e-6)
    # 2h/beta of the scaled energy is the variance that a batch adds in a step.
    h_over_beta = elapsed / 9
    assert 2 * h_over_beta == pytest.approx(rate**2 * 3 * 1.25 / 27, rel=1e-6)
    assert int(found.gradients[0]) == 27 * found.steps


def test_averaged_minibatches_do_what_added_noise_does():
    model = single_index(6, [500], 3, runs=10)
    batches, added = minibatch_sgd(model, beta=0.25), langevin(model, beta=0.25)
    assert batches.likeness[-1].mean() > 0.8
    assert added.likeness[-1].mean() > 0.8
    assert batches.average[-1].mean() > batches.last[-1].mean() + 0.1


def test_a_tensor_has_none():
    with pytest.raises(TypeError, match="no minibatches"):
        minibatch_sgd(tensor_pca(4, [5], runs=1))
    with pytest.raises(ValueError, match="beta=0"):
        minibatch_sgd(single_index(4, [5], runs=1), beta=0)
