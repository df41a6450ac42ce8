"""Predicted rates against dense matrices of batches, and the predicted eigenvalue at initialisation."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.curvature.random_matrix import batch_noise, spiked
from workbench.progress import listening
from workbench.stability.batch_size import predict_rates
from workbench.stability.experiments.networks import trained_problem


@pytest.fixture(scope="module")
def at_start():
    """A network and a linear model, both at initialisation; their largest eigenvalues are close and far."""
    problems = (wb.load_problem("digits-mlp", epochs=0), trained_problem("linear", epochs=0))
    return [predict_rates(each, [32, 128], batches=10) for each in problems]


def test_the_largest_eigenvalue_is_predicted_at_initialisation(at_start):
    network, linear = (each.errors() for each in at_start)
    assert network["along"].abs().max() < 0.1
    for form in ("along", "single", "isotropic"):
        assert linear[form].abs().max() < 0.1
    # Where eigenvalues lie close, one alone and isotropic noise say too little, as is shown.
    assert network["isotropic"].min() < network["single"].min() < -0.1


def test_predictions_are_those_of_the_noise_of_single_examples(make_problem):
    problem = make_problem()
    result = predict_rates(problem, [4, 16], 2, batches=16, probes=4)
    unit = torch.eye(problem.num_parameters, dtype=torch.float64)
    singles = torch.stack(
        [wb.curvature.hessian(problem.subset(torch.tensor([i])), check=False) @ unit for i in range(48)]
    )
    full = singles.mean(dim=0)
    values, vectors = torch.linalg.eigh(full)
    v = vectors[:, -1]
    moved = (singles - full) @ v
    square = (moved - torch.outer(moved @ v, v)).square().sum(dim=1).mean().item()
    top = values[-1].item()
    size, error = result.critical_size
    assert abs(size - square / top**2) < 4 * error
    share = square * np.array([(48 - b) / (47 * b) for b in (4, 16)])
    rates, errors = result.sgd("single")
    assert np.all(np.abs(rates - 2 / (top + share / top)) < 4 * errors)
    adaptive, errors = result.adaptive()
    assert np.all(np.abs(adaptive - top / np.sqrt(top**2 + share)) < 4 * errors)
    rng = np.random.default_rng(0)
    drawn = [
        torch.linalg.eigvalsh(singles[torch.from_numpy(rng.permutation(48)[:16])].mean(0))[-1]
        for _ in range(200)
    ]
    measured, errors = result.largest("measured")
    assert abs(measured[1] - np.mean(drawn)) < 4 * np.hypot(errors[1], np.std(drawn) / 200**0.5)
    heavy, _ = result.heavy_ball()
    assert heavy == pytest.approx(1.9 * result.sgd()[0])


def test_the_error_of_the_isotropic_law_is_its_slope_above_and_below_the_threshold(make_problem):
    result = predict_rates(make_problem(), [1, 4, 48], 1, batches=2, probes=4)
    spectra = result.spectra
    first = spectra.full[0]
    for noise in (0.5 * first**2, 3 * first**2):  # of single examples: above the threshold at B = 1, below
        shares = np.array([batch_noise(1.0, size, 48) ** 2 for size in (1, 4, 48)])

        def law(square, shares=shares):
            return np.array([spiked(first, (share * square) ** 0.5) for share in shares])

        step = 1e-4 * noise
        slopes = (law(noise + step) - law(noise - step)) / (2 * step)
        planted = spectra.replace(isotropic=law(noise)[:, None], noise=noise, noise_stderr=0.1 * noise)
        _, errors = result.replace(spectra=planted).largest("isotropic")
        assert errors == pytest.approx(slopes * 0.1 * noise, rel=1e-3)


def test_the_noise_scale_of_the_gradient_is_that_of_single_examples(make_problem):
    problem = make_problem()
    parameters = problem.parameters()
    singles = torch.stack(
        [
            problem.batch_gradient(parameters, batch)
            for i in range(48)
            for batch, _ in problem.subset(torch.tensor([i])).batches()
        ]
    )
    noise = singles.var(dim=0, correction=1).sum().item()
    signal = problem.gradient().square().sum().item() - noise / 48
    result = predict_rates(problem, [4, 16], 1, batches=2, probes=2)
    assert abs(result.gradient_scale - noise / signal) < 4 * result.gradient_scale_stderr
    assert result.gradient_scale_stderr < 0.3 * result.gradient_scale
    assert result.gradients == pytest.approx(1 + 40 * 16 / 48)
    assert "and 14.3 gradients over them" in result.summary()


def test_the_damping_keeps_second_order_steps_stable(make_problem):
    result = predict_rates(make_problem(), [2, 8, 48], 3, batches=4, newton_rate=1.5)
    damping = result.damping()
    growth = 1.5 * result.spectra.along / (result.spectra.full + damping[:, None])
    assert np.all(growth <= 2 + 1e-9)
    assert damping[0] > damping[-1]
    assert np.all(growth.max(axis=1)[damping > 0] == pytest.approx(2))


def test_the_result_tells_slopes_and_errors(make_problem, tmp_path):
    result = predict_rates(make_problem(), [4, 8, 48], 2, batches=3, probes=2)
    assert 0 < result.slope(4, 8) < 1
    assert 0 < result.slope(4, 48, "adam") < 0.5
    assert np.isnan(result.slope(4, 4))
    assert set(result.errors()) == {
        "batch_size",
        "measured",
        "measured_stderr",
        "along",
        "single",
        "isotropic",
    }
    assert len(result.frame()) == 3
    assert "largest learning rate" in result.plot().get_ylabel()
    assert wb.load_result(result.save(tmp_path / "rates")).summary() == result.summary()
    assert result.summary().startswith("noise equals curvature at B = ")


def test_an_interrupt_keeps_the_sizes_that_are_done(make_problem):
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "spectra of batches" and done >= 4:
            raise KeyboardInterrupt

    with listening(stop):
        result = predict_rates(make_problem(), [4, 8], 1, batches=3)
    assert result.interrupted
    assert result.sizes.tolist() == [4]


def test_the_scale_of_the_gradient_is_measured_before_the_spectra(make_problem, monkeypatch):
    """After them an interrupt would lose what they took."""
    monkeypatch.setitem(predict_rates.__globals__, "noise_scale", lambda *_: 1 / 0)
    monkeypatch.setitem(predict_rates.__globals__, "batch_spectra", lambda *_, **__: pytest.fail("too early"))
    with pytest.raises(ZeroDivisionError):
        predict_rates(make_problem(), [4], 1, batches=2)


def test_what_is_out_of_range_is_refused(make_problem):
    with pytest.raises(ValueError, match="momentum=1"):
        predict_rates(make_problem(), [4], momentum=1)
    with pytest.raises(ValueError, match="newton_rate=0"):
        predict_rates(make_problem(), [4], newton_rate=0)
    result = predict_rates(make_problem(), [4], 1, batches=2, probes=2)
    with pytest.raises(ValueError, match="did you mean 'along'"):
        result.sgd("alon")
    with pytest.raises(ValueError, match="is not one of 'sgd', 'adam'"):
        result.slope(1, 2, "momentum")
    with pytest.raises(ValueError, match="sizes=49"):
        predict_rates(make_problem(), [49])
