"""Loss slices against plain torch, and against losses whose quadratic model and barrier are known."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import Case, build
from torch import Tensor, nn

import workbench as wb
from workbench.curvature import line_between, main_directions, random_directions, slice_loss
from workbench.progress import listening


class Scalars(nn.Module):
    """A few parameters that are the outputs; the loss is any function of them."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.w.expand(len(inputs), -1)


def function(formula: Any, *at: float) -> wb.Problem:
    """A problem whose loss is a formula of a vector, at this vector."""
    data = torch.zeros(3, 1), torch.zeros(3, 1)
    return wb.Problem(Scalars(*at), lambda outputs, targets: formula(outputs[0]), data)


def plain_loss(case: Case, theta: Tensor, **buffers: Tensor) -> float:
    """The loss of a case at these parameters, by torch alone."""
    model = copy.deepcopy(case.model)
    nn.utils.vector_to_parameters(theta, model.parameters())
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers.get(name, buffer))
    with torch.no_grad():
        return case.loss(model(case.inputs), case.targets).item()


def moved(case: Case, amount: float, seed: int = 0) -> dict[str, Tensor]:
    """A state of the case's model that is somewhere else, buffers too."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + amount * torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in case.model.state_dict().items()
    }


# ---- the loss --------------------------------------------------------------------------------------------


def test_a_plane_is_the_loss_at_each_of_its_points() -> None:
    case = build("cnn_batchnorm")
    problem = case.problem()
    vectors = torch.randn(problem.num_parameters, 2, generator=torch.Generator().manual_seed(0)).double()
    found = slice_loss(problem, vectors, reach=(0.5, 0.2), points=3)
    theta = problem.parameters_vector()
    for i, x in enumerate([-0.5, 0, 0.5]):
        for j, y in enumerate([-0.2, 0, 0.2]):
            expected = plain_loss(case, theta + x * vectors[:, 0] + y * vectors[:, 1])
            assert found.loss[i, j] == pytest.approx(expected, rel=1e-12)
            distance = (x * vectors[:, 0] + y * vectors[:, 1]).norm().item()
            assert found.distance[i, j] == pytest.approx(distance, rel=1e-12, abs=1e-12)
    assert found.origin_loss == found.loss[1, 1]
    assert (found.passes, found.matvecs) == (9, 2)


def test_a_line_between_checkpoints_moves_the_statistics_too_and_ends_at_both() -> None:
    case = build("cnn_batchnorm")
    problem = case.problem()
    first, last = moved(case, 0.3, 1), moved(case, 0.3, 2)
    found = slice_loss(problem, line_between(problem, first, last), points=5)
    names = [name for name, _ in case.model.named_parameters()]
    for t, loss in zip([0, 0.25, 0.5, 0.75, 1], found.loss, strict=True):
        state = {name: (1 - t) * first[name] + t * last[name] for name in first}
        theta = torch.cat([state[name].flatten() for name in names])
        assert loss == pytest.approx(plain_loss(case, theta, **state), rel=1e-12)
    assert found.carried == ("1.running_mean", "1.running_var")
    assert found.quadratic is None
    assert found.validity is None
    assert "2 tensors move along" in found.summary()


def test_regularization_enters_on_request() -> None:
    problem = build("mlp").problem(weight_decay=0.7)
    vector = torch.ones(problem.num_parameters, dtype=torch.float64)
    plain = slice_loss(problem, vector, points=3)
    decayed = slice_loss(problem, vector, points=3, regularization=True)
    theta = problem.parameters_vector()
    extra = [0.35 * (theta + c * vector).square().sum().item() for c in (-1, 0, 1)]
    np.testing.assert_allclose(decayed.loss - plain.loss, extra, rtol=1e-10)
    assert decayed.gradient is not None
    assert plain.gradient is not None
    slope = 0.7 * (theta @ vector).item()
    np.testing.assert_allclose(decayed.gradient - plain.gradient, slope, rtol=1e-8)
    assert decayed.terms == "loss + weight decay"


def test_the_model_is_not_changed() -> None:
    case = build("cnn_batchnorm")
    problem = case.problem()
    before = copy.deepcopy(case.model.state_dict())
    slice_loss(problem, random_directions(problem), points=3)
    slice_loss(problem, line_between(problem, moved(case, 0.1, 1), moved(case, 0.1, 2)), points=3)
    after = case.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


# ---- the quadratic model ---------------------------------------------------------------------------------


def test_the_quadratic_model_of_a_linear_model_with_squares_is_the_loss() -> None:
    inputs, targets = torch.randn(20, 3, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
    problem = wb.Problem(nn.Linear(3, 2).double(), nn.MSELoss(), (inputs, targets))
    found = slice_loss(problem, torch.randn(8, 2, dtype=torch.float64), reach=3.0, points=7)
    assert found.quadratic is not None
    np.testing.assert_allclose(found.quadratic, found.loss, rtol=1e-11)
    assert found.validity is not None
    assert found.validity.radius == np.inf
    assert found.validity.reach == pytest.approx(found.distance.max())
    assert "true to 10% of the loss change as far as" in found.summary()


def test_curvatures_along_eigenvectors_are_the_eigenvalues() -> None:
    problem = build("layernorm_attention").problem()
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(problem), 3)
    found = slice_loss(problem, pairs, points=3)
    assert found.hessian is not None
    assert found.gradient is not None
    np.testing.assert_allclose(found.hessian, np.diag(pairs.values[:2].numpy()), atol=1e-10)
    np.testing.assert_allclose(found.gradient, problem.gradient() @ pairs.vectors[:, :2], atol=1e-12)
    assert found.labels[1] == f"eigenvector 2 (λ = {pairs.values[1]:.4g})"


@pytest.mark.parametrize("scale", [1.0, 2.5])  # of the direction: the radius is a distance, not a coordinate
def test_the_radius_where_a_cubic_leaves_its_quadratic_model(scale: float) -> None:
    """w²/2 + w³/6 at 0: the cubic term passes a tenth of the change r²/2 + r³/6 at r = 1/3."""
    problem = function(lambda w: w.square().sum() / 2 + w.pow(3).sum() / 6, 0.0)
    direction = torch.tensor([scale], dtype=torch.float64)
    found = slice_loss(problem, direction, reach=1 / scale, points=41)
    assert found.validity is not None
    radius, resolution, reach = found.validity
    assert resolution == pytest.approx(0.05)
    assert reach == pytest.approx(1)
    assert radius - resolution < 1 / 3 <= radius


def test_a_loss_that_comes_back_to_its_start_is_no_failure_of_the_model() -> None:
    """The change of w² − w is 0 again at w = 1, where any error would be more than a tenth of it."""
    problem = function(lambda w: (w.square() - w + 1e-3 * w.pow(3)).sum(), 0.0)
    found = slice_loss(problem, torch.ones(1, dtype=torch.float64), reach=1.0, points=21)
    assert found.validity is not None
    assert found.validity.radius == np.inf


def test_a_model_that_fails_at_once_says_that_the_grid_is_too_coarse() -> None:
    problem = function(lambda w: torch.cosh(10 * w).sum(), 0.0)
    found = slice_loss(problem, torch.ones(1, dtype=torch.float64), reach=1.0, points=5)
    assert "at a distance of 0 to 0.5 (the nearest point: lower reach)" in found.summary()


def test_without_a_quadratic_model_there_are_no_products() -> None:
    problem = build("mlp").problem()
    found = slice_loss(problem, random_directions(problem, 1), points=3, quadratic=False)
    assert (found.quadratic, found.validity, found.matvecs) == (None, None, 0)
    assert "quadratic" not in found.frame()


# ---- the barrier -----------------------------------------------------------------------------------------


def test_the_barrier_of_a_tilted_double_well() -> None:
    """(w² − 1)² + w from −1 to 1: the tilt is the line between the ends, so the barrier is 1, at 1/2."""
    problem = function(lambda w: ((w.square() - 1).square() + w).sum(), -1.0)
    ends = [{"w": torch.tensor([value], dtype=torch.float64)} for value in (-1, 1)]
    found = slice_loss(problem, line_between(problem, *ends), points=11)
    assert found.barrier is not None
    assert found.barrier.height == pytest.approx(1, rel=1e-12)
    assert found.barrier.location == pytest.approx(0.5)
    assert found.barrier.resolution == pytest.approx(0.1)
    assert found.quadratic is not None  # nothing but the selected parameters moves
    np.testing.assert_allclose(found.frame()["between_ends"], np.linspace(-1, 1, 11), atol=1e-12)


@pytest.mark.parametrize("points", [9, 15, 33])
def test_what_the_grid_misses_of_a_barrier_is_stated(points: int) -> None:
    problem = function(lambda w: (w.square() - 1).square().sum(), -1.0)
    ends = [{"w": torch.tensor([value], dtype=torch.float64)} for value in (-1, 1.3)]
    found = slice_loss(problem, line_between(problem, *ends), points=points)
    t = np.linspace(0, 1, 100001)
    rise = ((-1 + 2.3 * t) ** 2 - 1) ** 2 - t * 0.69**2
    assert found.barrier is not None
    height, error, location, resolution = found.barrier
    assert height <= rise.max() <= height + 1.2 * error
    assert abs(location - t[rise.argmax()]) <= resolution


def test_a_convex_loss_has_no_barrier() -> None:
    problem = function(lambda w: w.square().sum(), 0.0)
    ends = [{"w": torch.tensor([value], dtype=torch.float64)} for value in (-1, 2)]
    found = slice_loss(problem, line_between(problem, *ends), points=7)
    assert found.barrier is not None
    assert found.barrier.height == 0
    assert slice_loss(problem, torch.ones(1), points=3).barrier is None


# ---- what is not there -----------------------------------------------------------------------------------


def test_losses_that_are_not_finite_are_kept_and_drawn() -> None:
    """log(1 + w) is −inf at w = −1 and nan below."""
    problem = function(lambda w: torch.log1p(w).sum(), 0.0)
    found = slice_loss(problem, torch.ones(1, dtype=torch.float64), reach=2.0, points=9)
    assert np.isnan(found.loss[:2]).all()
    assert found.loss[2] == -np.inf
    assert found.computed.all()
    assert "3 NOT FINITE" in found.summary()
    assert found.validity is not None
    assert found.validity.radius <= 1
    crosses = [line for line in found.plot().lines if line.get_label() == "loss not finite"]
    np.testing.assert_allclose(np.asarray(crosses[0].get_xdata(), dtype=float), [-2, -1.5, -1])

    plane = function(lambda w: torch.log1p(w).sum(), 0.0, 0.0)
    found = slice_loss(plane, torch.eye(2, dtype=torch.float64), reach=2.0, points=5)
    crosses = [line for line in found.plot().lines if line.get_label() == "loss not finite"]
    assert len(np.asarray(crosses[0].get_xdata())) == 25 - 9


def test_a_barrier_through_losses_that_are_not_finite_is_not_a_number() -> None:
    problem = function(lambda w: torch.where(w.abs() < 0.5, torch.nan, w.square()).sum(), -1.0)
    ends = [{"w": torch.tensor([value], dtype=torch.float64)} for value in (-1, 1)]
    found = slice_loss(problem, line_between(problem, *ends), points=5)
    assert found.barrier is not None
    assert np.isnan(found.barrier.height)
    assert "barrier nan" in found.summary()
    found.plot()


def test_an_interrupt_keeps_the_points_around_the_origin() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description == "loss slice" and done == 9:
            raise KeyboardInterrupt

    problem = build("mlp").problem()
    vectors = torch.eye(problem.num_parameters, 2, dtype=torch.float64)
    with listening(interrupt):
        found = slice_loss(problem, vectors, points=7)
    assert found.interrupted
    assert found.passes == 9
    assert found.computed[2:5, 2:5].all()
    assert np.isnan(found.loss[~found.computed]).all()
    assert np.isfinite(found.loss[found.computed]).all()
    assert "9 of 49 points, interrupted" in found.summary()
    assert found.validity is not None
    assert found.validity.reach == pytest.approx(np.sqrt(2) / 3)
    found.plot()


def test_an_interrupted_line_knows_both_ends() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description == "loss slice" and done == 4:
            raise KeyboardInterrupt

    problem = function(lambda w: (w.square() - 1).square().sum(), -1.0)
    ends = [{"w": torch.tensor([value], dtype=torch.float64)} for value in (-1, 1)]
    with listening(interrupt):
        found = slice_loss(problem, line_between(problem, *ends), points=11)
    assert found.computed.nonzero()[0].tolist() == [0, 1, 2, 10]
    assert found.barrier is not None
    assert found.barrier.location == pytest.approx(0.2)  # the highest of those that are there
    found.plot()


def test_an_interrupt_before_the_first_point_is_passed_on() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        slice_loss(build("mlp").problem(), torch.ones(43, dtype=torch.float64))


@pytest.mark.parametrize(
    ("directions", "keywords", "error", "message"),
    [
        (torch.ones(5), {}, ValueError, r"directions have the shape \(43,\) or \(43, 2\), not \(5, 1\)"),
        (torch.ones(43, 3), {}, ValueError, r"not \(43, 3\)"),
        (torch.zeros(43), {}, ValueError, "a direction is zero"),
        (torch.ones(43, 2), {}, ValueError, "the two directions are parallel"),
        (torch.full((43,), torch.nan), {}, ValueError, "a direction is not finite"),
        (torch.ones(43, dtype=torch.int64), {}, ValueError, "real vectors, not int64"),
        ("random", {}, TypeError, "a str has no directions"),
        (torch.ones(43), {"points": 10}, ValueError, "points=10 is even"),
        (torch.ones(43), {"points": 1}, ValueError, "points=1 is out of range"),
        (torch.ones(43), {"reach": -1.0}, ValueError, "reach=-1.0 is out of range"),
        (torch.ones(43), {"reach": (1.0, 2.0)}, ValueError, "one number or 1"),
    ],
)
def test_bad_arguments_are_refused(
    directions: Any, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        slice_loss(build("mlp").problem(), directions, **keywords)


def test_a_line_between_checkpoints_has_no_reach() -> None:
    case = build("mlp")
    line = line_between(case.problem(), moved(case, 0.1, 1), moved(case, 0.1, 2))
    with pytest.raises(ValueError, match="goes from 0 to 1"):
        slice_loss(case.problem(), line, reach=2.0)


# ---- the result ------------------------------------------------------------------------------------------


def test_slices_survive_saving(tmp_path: Path) -> None:
    case = build("mlp")
    problem = case.problem()
    states = {i: moved(case, 0.1 * i, i) for i in range(5)}
    for directions in (
        random_directions(problem, 1),
        main_directions(problem, states),
        line_between(problem, states[0], states[1]),
    ):
        found = slice_loss(problem, directions, points=3)
        again = wb.load_result(found.save(tmp_path / "slice.npz"))
        assert isinstance(again, wb.curvature.LossSlice)
        assert again.frame().equals(found.frame())
        assert again.summary() == found.summary()
        assert (again.validity, again.barrier) == (found.validity, found.barrier)


def test_frames_are_tidy() -> None:
    problem = build("mlp").problem()
    line = slice_loss(problem, random_directions(problem, 1), points=3).frame()
    assert list(line.columns) == ["coordinate", "distance", "loss", "computed", "quadratic"]
    found = slice_loss(problem, random_directions(problem, 2), points=3)
    plane = found.frame()
    row = plane[(plane["coordinate_1"] == 1) & (plane["coordinate_2"] == -1)]
    assert row["loss"].item() == found.loss[2, 0]


def test_a_plane_shows_the_path_and_where_the_model_ends() -> None:
    case = build("mlp")
    problem = case.problem()
    states = {f"epoch {i}": moved(case, 1.0 * i, i) for i in range(4)}
    found = slice_loss(problem, main_directions(problem, states), points=5)
    axes = found.plot()
    lines = {line.get_label(): line for line in axes.lines}
    assert found.path is not None
    np.testing.assert_allclose(lines["trajectory, projected"].get_xydata(), found.path)
    np.testing.assert_allclose(found.path[-1], 0, atol=1e-12)
    assert (np.abs(found.path) <= [axis[-1] for axis in found.axes]).all()
    assert {text.get_text() for text in axes.texts} == {"epoch 0", "epoch 3"}
    circle = np.asarray(lines["the quadratic model misses 10% of the change"].get_xydata())
    assert found.validity is not None
    distances = np.sqrt(np.einsum("pi,ij,pj->p", circle, found.gram, circle))
    np.testing.assert_allclose(distances, found.validity.radius)


def test_a_constant_loss_can_be_drawn() -> None:
    problem = function(lambda w: 0 * w.sum() + 1, 1.0, 1.0)
    slice_loss(problem, torch.eye(2, dtype=torch.float64), points=3).plot()
    slice_loss(problem, torch.eye(2, dtype=torch.float64)[:, 0], points=3).plot()


def test_a_line_reaches_beyond_where_its_parabola_is_back() -> None:
    torch.manual_seed(0)
    data = (torch.randn(30, 3, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64))
    problem = wb.Problem(nn.Linear(3, 1, bias=False).double(), nn.MSELoss(), data)
    direction = -problem.gradient()
    found = slice_loss(problem, direction, reach="parabola", points=13)
    slope = float(problem.gradient() @ direction)
    bend = float(2 * (data[0] @ direction).square().mean())
    assert found.axes[0][-1] == pytest.approx(3 * abs(slope) / bend)
    assert found.loss[10] == pytest.approx(found.origin_loss)  # two thirds of the way
    assert found.matvecs == 1


def test_only_a_line_with_a_model_reaches_as_far_as_that() -> None:
    problem = wb.Problem(nn.Linear(3, 1), nn.MSELoss(), (torch.randn(30, 3), torch.randn(30, 1)))
    with pytest.raises(ValueError, match="reach='parabola' is for one direction"):
        slice_loss(problem, torch.eye(4)[:, :2], reach="parabola")
    with pytest.raises(ValueError, match="reach='parabola' is for one direction"):
        slice_loss(problem, torch.eye(4)[0], reach="parabola", quadratic=False)
    with pytest.raises(ValueError, match="reach='parabolla' is not one of 'parabola'"):
        slice_loss(problem, torch.eye(4)[0], reach="parabolla")
