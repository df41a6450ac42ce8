"""Langevin dynamics against exact laws: uniform, von Mises-Fisher, Gibbs by quadrature, partial trace."""

import math

import pytest
import torch
from quadrature import energies, sphere_rule

from workbench.particles.planted.chains import langevin
from workbench.particles.planted.model import averaging_time
from workbench.particles.planted.sphere import average_square, step_correlation, von_mises_fisher_mean
from workbench.particles.planted.tensors import tensor_pca
from workbench.progress import listening
from workbench.result import load_result


def mean_and_error(values):
    values = values.double().flatten()
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


def test_without_energy_iterates_are_uniform_and_forget_at_the_exact_rate():
    dim, runs, steps = 8, 2000, 128
    model = tensor_pca(dim, [1], 1, runs=runs, dtype=torch.float64)
    found = langevin(model, beta=0, step=0.3, steps=steps, burn_in=0)
    mean, error = mean_and_error(found.points[..., 0].square())
    assert mean == pytest.approx(1 / dim, abs=4 * error)
    mean, error = mean_and_error(found.mean_length.square())
    assert mean == pytest.approx(average_square(step_correlation(0.3, dim), steps), abs=4 * error)


@pytest.mark.parametrize("dim", [3, 10])
def test_a_linear_energy_gives_the_von_mises_fisher_law(dim):
    """Of order one, the energy is minus the product with one vector, which the noise is a part of."""
    model = tensor_pca(dim, [9], 1, runs=1500, dtype=torch.float64)
    beta = 0.8
    bias = []
    for step in (0.2, 0.1):
        found = langevin(model, beta=beta, step=step, steps=1, burn_in=10)
        pull = model.force(found.points)[:, 0]
        cosine = (found.points[:, 0] * pull).sum(-1) / pull.norm(dim=-1)
        kappas = beta * math.sqrt(dim) * pull.norm(dim=-1)
        exact = torch.tensor([von_mises_fisher_mean(float(kappa), dim) for kappa in kappas])
        bias.append(mean_and_error(cosine - exact))
    # Halving the step halves its bias: what remains of it at step 0.
    (coarse, coarse_error), (fine, fine_error) = bias
    assert 2 * fine - coarse == pytest.approx(0, abs=4 * math.hypot(2 * fine_error, coarse_error))
    assert abs(fine) < 0.02


def test_a_cubic_energy_gives_the_gibbs_mean():
    """Forty chains of each of three instances; what halving the step takes off is extrapolated."""
    chains, beta = 40, 0.5
    model = tensor_pca(3, [4] * chains, 3, runs=3, seed=3, dtype=torch.float64)
    points, weights = sphere_rule()
    gibbs = weights[:, None] * torch.exp(-beta * math.sqrt(3) * energies(model, points)[..., 0])
    exact = torch.einsum("qr,qa->ra", gibbs, points) / gibbs.sum(0)[:, None]
    means = []
    for step in (0.1, 0.05):
        found = langevin(model, beta=beta, step=step, steps=int(128 / step), burn_in=10)
        means.append(found.estimates * found.mean_length[..., None])
    fine = 2 * means[1] - means[0]
    error = fine.std(1) / chains**0.5
    assert ((fine.mean(1) - exact).abs() < 4.5 * error).all()
    assert (exact.norm(dim=-1) > 6 * error.norm(dim=-1)).all()  # or the comparison would say nothing


def test_the_average_of_a_hot_chain_is_the_field_times_beta():
    """To first order; what halving the step takes off is extrapolated."""
    beta = 0.15
    model = tensor_pca(6, [1], 3, runs=800)
    field = model.field()[:, 0].double()
    along = []
    for step, steps in ((0.2, 1000), (0.1, 2000)):
        found = langevin(model, beta=beta, step=step, steps=steps)
        average = (found.estimates * found.mean_length[..., None])[:, 0].double()
        along.append((average * field).sum(-1))
    exact = beta * math.sqrt(6) * field.square().sum(-1)
    mean, error = mean_and_error(2 * along[1] - along[0] - exact)
    assert mean == pytest.approx(0, abs=4 * error)
    assert 4 * error < 0.25 * float(exact.mean())  # another constant would show


def test_the_average_of_an_even_order_tends_to_the_partial_trace():
    model = tensor_pca(6, [1], 4, runs=12)
    short, long = (langevin(model, beta=0.25, length=length).likeness[-1].mean() for length in (0.2, 4.0))
    assert short < long - 0.15


def test_first_order_predicts_how_fast():
    model = tensor_pca(12, [1], 3, runs=40)
    found = langevin(model, beta=0.25, length=2.0)
    mean, error = mean_and_error(found.likeness[-1])
    assert mean == pytest.approx(found.predicted_likeness()[-1, 0], abs=4 * error + 0.03)


def test_averaging_time_of_a_cubic_tensor():
    assert averaging_time(3, 50, 0.3) == pytest.approx(2 * 52 / (3 * 0.09), rel=1e-12)
    assert averaging_time(3, 50, 0.0) == math.inf


def test_a_chain_does_not_depend_on_its_batch_nor_its_length():
    alone = tensor_pca(6, [20, 60], runs=range(2, 3), seed=1, dtype=torch.float64)
    among = tensor_pca(6, [20, 60], runs=4, seed=1, dtype=torch.float64)
    one, all_ = (langevin(model, steps=64, burn_in=0, seed=9) for model in (alone, among))
    torch.testing.assert_close(one.points[0], all_.points[2], rtol=1e-9, atol=1e-9)
    again = langevin(among, steps=64, burn_in=0, seed=9)
    assert torch.equal(again.points, all_.points)


def test_an_interrupt_keeps_what_is_done(tmp_path):
    def stop(description, done, total):
        if done >= 640:
            raise KeyboardInterrupt

    model = tensor_pca(6, [20], runs=2)
    with listening(stop):
        found = langevin(model, steps=6400, burn_in=0)
    assert found.interrupted
    assert found.steps == 640
    assert "INTERRUPTED" in found.summary()
    found.save(tmp_path / "run.npz")
    assert load_result(tmp_path / "run.npz").summary() == found.summary()


def test_frame_and_plot():
    found = langevin(tensor_pca(6, [20, 60], runs=3), steps=640)
    frame = found.frame()
    assert frame["average"].tolist() == pytest.approx(found.average[-1].mean(0).tolist())
    axes = found.plot(place=0)
    assert len(axes.get_lines()) == 4
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    shown = [t.get_text() for t in axes.xaxis.get_majorticklabels() if low <= t.get_position()[0] <= high]
    assert all(float(label) > 0 for label in shown)
    assert 2 <= len(shown) <= 8
    assert not any(t.get_text() for t in axes.xaxis.get_minorticklabels())


def test_an_interrupt_between_records_gives_the_last_record():
    def stop(description, done, total):
        if done >= 64 * 90:  # records of 100 blocks are at 87 and 98
            raise KeyboardInterrupt

    model = tensor_pca(6, [20], runs=2)
    with listening(stop):
        cut = langevin(model, steps=6400, burn_in=0)
    assert cut.interrupted
    whole = langevin(model, steps=cut.steps, burn_in=0)
    assert cut.times[-1, 0] == pytest.approx(0.2 * cut.steps)
    assert torch.equal(cut.points, whole.points)
    assert torch.equal(cut.mean_length, whole.mean_length)
    assert torch.equal(cut.gradients, whole.gradients)
    assert torch.equal(model.overlap(cut.points), cut.last[-1])
    assert cut.predicted_likeness()[-1, 0] == pytest.approx(whole.predicted_likeness()[-1, 0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beta": 1e-200}, "too small"),
        ({"beta": -1}, "beta=-1"),
        ({"beta": 0}, "positive"),
        ({"step": 1.0}, r"step=1\.0"),
        ({"length": 0}, "length=0"),
        ({"burn_in": -1}, "burn_in=-1"),
    ],
)
def test_refusals(values, message):
    with pytest.raises(ValueError, match=message):
        langevin(tensor_pca(4, [5], runs=1), **values)
