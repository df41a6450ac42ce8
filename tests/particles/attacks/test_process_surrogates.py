"""The process in closed form against its differential equations, and the network against the closed form."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from workbench.particles.attacks import direct_search, planted_maximiser, process_check, process_surrogate
from workbench.particles.attacks.process_surrogates import _mean_decay, closed_form, excess, profit

POINTS = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def integrated(point):
    state, energy = np.array([1.0, 0.0, 0.0]), 0.0
    for warmth, length in zip(point[:3], point[3:], strict=True):
        kelvin = 300 + 60 * warmth
        first = 1.0 * np.exp(-3500 * (1 / kelvin - 1 / 330))
        second = 0.15 * np.exp(-6500 * (1 / kelvin - 1 / 330))

        def slopes(_, y, k=(first, second)):
            return [-k[0] * y[0], k[0] * y[0] - k[1] * y[1], k[1] * y[1]]

        state = solve_ivp(slopes, (0, 2 * length), state, rtol=1e-10, atol=1e-12).y[:, -1]
        energy += (0.3 + 0.7 * warmth) * length / 3
    return [state[1], state[2], energy]


def test_the_closed_form_solves_the_rate_equations() -> None:
    expected = [integrated(point) for point in POINTS.numpy()]
    np.testing.assert_allclose(closed_form(POINTS), expected, rtol=1e-7)


def test_equal_rates_are_no_exception() -> None:
    near = torch.tensor([0.0, 1e-12, 1e-6, -1e-6, 1.0], dtype=torch.float64)
    expected = [1.0, 1.0, 1 - 5e-7, 1 + 5e-7, 1 - np.exp(-1)]
    np.testing.assert_allclose(_mean_decay(near), expected, rtol=1e-11)


def test_the_network_is_trained_and_remembered() -> None:
    surrogate = process_surrogate(iterations=100)
    errors = surrogate.network(POINTS) - closed_form(POINTS)
    assert errors.abs().max() < 0.1
    assert process_surrogate(waste=0.2, iterations=100).network is surrogate.network


def test_starts_are_what_they_are_called() -> None:
    for feasible in (True, False):
        surrogate = process_surrogate(feasible=feasible, iterations=100)
        assert (surrogate.evaluate(surrogate.start[None]).violation == 0).item() is feasible
        assert (excess(closed_form(surrogate.start[None]), 0.06).max() <= 0).item() is feasible


def test_a_check_puts_the_end_into_the_closed_form() -> None:
    surrogate = process_surrogate(iterations=100)
    path = direct_search(surrogate, evaluations=500)
    check = process_check(surrogate, path)
    truth = closed_form(path.point[None])
    assert check.profits == pytest.approx((path.value, profit(truth).item()))
    assert check.kept == (excess(truth, 0.06).max() <= 0).item()
    assert ("BROKEN" in check.summary()) is not check.kept
    assert list(check.frame()["output"]) == ["product", "waste", "energy"]
    assert check.plot().get_legend() is not None
    with pytest.raises(ValueError, match="not of 'process"):
        process_check(surrogate, path.replace(problem="other"))
    planted = planted_maximiser(3)
    with pytest.raises(ValueError, match="is no process"):
        process_check(planted, direct_search(planted, evaluations=20))


def test_a_check_has_the_limit_of_its_problem() -> None:
    surrogate = process_surrogate(waste=0.02, iterations=100)
    check = process_check(surrogate, direct_search(surrogate, evaluations=500))
    assert check.waste == 0.02
    assert not check.kept  # 0.03 in truth, which a limit of 0.06 would let pass


@pytest.mark.parametrize("options", [{"waste": 0.0}, {"samples": 0}, {"iterations": 0}, {"seed": -1}])
def test_what_cannot_be_is_refused(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        process_surrogate(**options)
