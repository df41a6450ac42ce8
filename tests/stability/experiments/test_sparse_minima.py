"""Closed-form traces against autograd; larger learning rates of SGD, not of GD, make flat and sparse."""

import numpy as np
import pytest
import torch
from torch import Tensor

import workbench as wb
from workbench.stability.experiments import diagonal_network, two_layer_relu
from workbench.stability.experiments.sparse_minima import example_slopes


def random_tensors(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_()
        for name, shape in shapes.items()
    }


def modules():
    from importlib import import_module

    home = "workbench.stability.experiments"
    return import_module(f"{home}.diagonal_network"), import_module(f"{home}.two_layer_relu")


def test_the_trace_of_a_diagonal_network_is_that_of_autograd() -> None:
    module, _ = modules()
    parameters = random_tensors(u=(2, 6), v=(2, 6))
    inputs = torch.randn(2, 9, 6, dtype=torch.float64)
    slopes = example_slopes(module._predict(parameters, inputs), parameters)
    torch.testing.assert_close(module.hessian_trace(parameters, inputs), slopes.square().sum(2).mean(1))


def test_the_trace_of_a_relu_network_is_that_of_autograd() -> None:
    _, module = modules()
    parameters = random_tensors(w=(2, 5, 4), a=(2, 5))
    inputs = torch.randn(2, 9, 4, dtype=torch.float64)
    slopes = example_slopes(module.predict(parameters, inputs), parameters)
    torch.testing.assert_close(module.hessian_trace(parameters, inputs), slopes.square().sum(2).mean(1))


def test_slopes_of_one_run_are_those_of_its_own_outputs() -> None:
    """And their squares are the Hessian's trace at a fit: ½ mean r², differentiated twice."""
    module, _ = modules()
    parameters = random_tensors(u=(1, 3), v=(1, 3))
    inputs = torch.randn(1, 4, 3, dtype=torch.float64)
    targets = module._predict(parameters, inputs).detach()

    def loss(theta: Tensor) -> Tensor:
        pieces = {"u": theta[None, :3], "v": theta[None, 3:]}
        return (module._predict(pieces, inputs) - targets).square().mean() / 2

    theta = torch.cat([parameters["u"][0], parameters["v"][0]]).detach()
    hessian = torch.autograd.functional.hessian(loss, theta)
    torch.testing.assert_close(module.hessian_trace(parameters, inputs)[0], hessian.trace())


@pytest.fixture(scope="module")
def diagonal():
    return diagonal_network((0.005, 0.05), seeds=(0, 1), sgd_steps=8000, gd_steps=2500)


@pytest.fixture(scope="module")
def relu():
    return two_layer_relu((0.02, 0.1), seeds=(0, 1), sgd_steps=8000, gd_steps=2500)


@pytest.mark.parametrize("name", ["diagonal", "relu"])
def test_large_rates_of_sgd_make_flat_minima_of_small_norm(name: str, request) -> None:
    found = request.getfixturevalue(name)
    assert found.fits[0].all()
    for quantity in ("trace", "norm", "test_error"):
        ratio, error = found.change("sgd", quantity)
        assert ratio + 2 * error < 0.9, quantity
    ratio, _ = found.change("gd", "norm")
    assert ratio == pytest.approx(1, abs=0.05)
    rates = found.learning_rates[None, :, None]
    assert (found.trace[0] * rates[0] / 2 <= 1).all()  # what stability at batch size 1 asks for
    assert (found.largest * rates / 2 <= 1.01).all()  # what it asks of gradient descent
    assert (found.trace[1, 1] * rates[0, 1] / 2 > 1).all()  # which ends where SGD could not stay


def test_runs_do_not_mix(diagonal) -> None:
    """A run is the same whatever runs beside it."""
    alone = diagonal_network((0.05,), seeds=(1,), sgd_steps=8000, gd_steps=2500)
    np.testing.assert_allclose(alone.trace[:, 0, 0], diagonal.trace[:, 1, 1], rtol=1e-6)


def test_runs_that_diverge_are_left_out() -> None:
    found = diagonal_network((0.005, 5.0), seeds=(0, 1), sgd_steps=500, gd_steps=500)
    assert np.isnan(found.trace[:, 1]).all()
    assert not found.fits[:, 1].any()
    found.plot()
    assert np.isnan(found.change("sgd", "trace")[0])


def test_they_can_be_saved_and_drawn(diagonal, tmp_path) -> None:
    again = wb.load_result(diagonal.save(tmp_path / "sweep.npz"))
    assert again.frame().equals(diagonal.frame())
    for quantity in ("trace", "largest", "norm", "test_error"):
        diagonal.plot(quantity=quantity)
    assert len(diagonal.frame()) == 8


@pytest.mark.parametrize("experiment", [diagonal_network, two_layer_relu])
def test_bad_arguments_are_refused(experiment) -> None:
    with pytest.raises(ValueError, match=r"learning_rates=.* are out of range"):
        experiment((0.1, -0.1), seeds=(0,))
    with pytest.raises(ValueError, match="number of seeds=0"):
        experiment(seeds=())
