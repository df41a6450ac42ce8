"""Directions: filter normalisation, and principal components against a singular value decomposition."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import build
from torch import Tensor, nn

import workbench as wb
from workbench.curvature import (
    directions,
    eigenvector_directions,
    line_between,
    main_directions,
    random_directions,
)


def named(problem: wb.Problem, vector: Tensor) -> dict[str, Tensor]:
    return {part.name: vector[part.start : part.stop].view(part.shape) for part in problem.layout}


@pytest.mark.parametrize("biases", [False, True])
def test_each_filter_is_as_long_as_that_of_the_model(biases: bool) -> None:
    case = build("cnn_batchnorm")
    problem = case.problem()
    found = random_directions(problem, biases=biases, seed=3)
    assert found.vectors.shape == (problem.num_parameters, 2)
    for column in found.vectors.T:
        for name, part in named(problem, column).items():
            parameter = case.model.get_parameter(name).detach()
            if parameter.dim() > 1:
                for filter_, own in zip(part, parameter, strict=True):
                    assert filter_.norm().item() == pytest.approx(own.norm().item(), rel=1e-12)
                assert not torch.allclose(part.abs(), parameter.abs())
            elif biases:
                assert part.norm().item() == pytest.approx(parameter.norm().item(), rel=1e-12)
            else:
                assert not part.any()
    cosine = torch.corrcoef(found.vectors.T)[0, 1]
    assert abs(cosine) < 0.5


def test_rescaling_a_neuron_rescales_its_part_of_the_direction() -> None:
    """What the normalisation is for: a ReLU network does not change when scale moves between layers."""
    case = build("relu")
    before = random_directions(case.problem(), 1, seed=1).vectors[:, 0]
    with torch.no_grad():
        case.model.get_parameter("0.weight")[2] *= 5
    after = random_directions(case.problem(), 1, seed=1).vectors[:, 0]
    expected = named(case.problem(), before.clone())
    expected["0.weight"][2] *= 5
    for name, part in named(case.problem(), after).items():
        torch.testing.assert_close(part, expected[name])


def test_the_seed_decides_and_the_first_direction_stays() -> None:
    problem = build("mlp").problem()
    torch.manual_seed(0)
    one = random_directions(problem, 1, seed=5).vectors
    torch.manual_seed(1)
    two = random_directions(problem, 2, seed=5).vectors
    assert torch.equal(one[:, 0], two[:, 0])
    assert not torch.equal(one, random_directions(problem, 1, seed=6).vectors)


def test_nothing_to_move_is_refused() -> None:
    problem = wb.Problem(nn.Linear(2, 1), nn.MSELoss(), (torch.ones(3, 2), torch.ones(3, 1)))
    with pytest.raises(ValueError, match="try biases=True"):
        random_directions(problem.restrict("bias"))
    assert random_directions(problem.restrict("bias"), biases=True).vectors.all()
    with pytest.raises(ValueError, match="count=3 is out of range"):
        random_directions(problem, 3)


# ---- a trajectory ----------------------------------------------------------------------------------------


def walk(model: nn.Module, steps: int) -> list[dict[str, Tensor]]:
    """States of a random walk with some drift, from where the model is."""
    generator = torch.Generator().manual_seed(0)
    states = [dict(model.state_dict())]
    for _ in range(steps - 1):
        states.append(
            {
                name: tensor + 0.05 + 0.1 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
                for name, tensor in states[-1].items()
            }
        )
    return states


@pytest.mark.parametrize("chunk", [7, 2**20])  # inner products in pieces, and at once
def test_main_directions_are_the_singular_vectors_of_the_centred_trajectory(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directions, "_CHUNK", chunk)
    case = build("mlp")
    problem = case.problem()
    states = walk(case.model, 8)
    found = main_directions(problem, states)
    rows = np.stack([np.concatenate([t.numpy().ravel() for t in state.values()]) for state in states])
    _, singular, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    vectors = found.vectors.numpy()
    np.testing.assert_allclose(np.abs(np.sum(vectors * right[:2].T, axis=0)), 1, rtol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(2), atol=1e-10)
    np.testing.assert_allclose(found.explained, singular[:2] ** 2 / np.sum(singular**2), rtol=1e-10)
    assert found.path is not None
    np.testing.assert_allclose(found.path, (rows - rows[-1]) @ vectors, atol=1e-10)
    assert found.origin is states[-1]
    assert found.path_labels == tuple("01234567")
    assert f"({found.explained[0]:.0%} of the variance)" in found.labels[0]


def test_checkpoints_on_a_line_or_too_few_span_no_plane() -> None:
    case = build("mlp")
    start = case.model.state_dict()
    line = [{name: (1 + 0.1 * i) * tensor for name, tensor in start.items()} for i in range(5)]
    with pytest.raises(ValueError, match="lie on one line"):
        main_directions(case.problem(), line)
    with pytest.raises(ValueError, match="at least three checkpoints, and there are 2"):
        main_directions(case.problem(), line[:2])
    case.model.float()
    case.inputs = case.inputs.float()
    single = [{name: tensor.float() for name, tensor in state.items()} for state in line]
    with pytest.raises(ValueError, match="lie on one line"):
        main_directions(case.problem(), single)


def test_a_line_between_files(tmp_path: Path) -> None:
    case = build("mlp")
    problem = case.problem()
    first, last = walk(case.model, 2)
    torch.save(last, tmp_path / "last-epoch.pt")
    line = line_between(problem, first, tmp_path / "last-epoch.pt")
    expected = torch.cat([(last[name] - first[name]).flatten() for name in first])
    torch.testing.assert_close(line.vectors[:, 0], expected)
    assert line.labels == ("from first (0) to last-epoch (1)",)
    with pytest.raises(ValueError, match="the same at both checkpoints"):
        line_between(problem, first, first)


def test_a_checkpoint_that_does_not_fit_is_named(tmp_path: Any) -> None:
    case = build("mlp")
    states: dict[str, Any] = {str(i): state for i, state in enumerate(walk(case.model, 3))}
    states["2"] = {"weight": torch.ones(1)}
    with pytest.raises(ValueError, match="checkpoint '2': the state does not fit the model"):
        main_directions(case.problem(), states)


def test_chosen_eigenvectors_are_named_by_rank_and_value() -> None:
    problem = build("mlp").problem()
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(problem), 4)
    found = eigenvector_directions(pairs, 3, 1)
    assert torch.equal(found.vectors, pairs.vectors[:, [2, 0]])
    assert found.labels[0] == f"eigenvector 3 (λ = {pairs.values[2].item():.4g})"
    assert torch.equal(eigenvector_directions(pairs, 4).vectors, pairs.vectors[:, 3:])
    plane = wb.curvature.slice_loss(problem, found, points=3)
    assert plane.hessian is not None
    np.testing.assert_allclose(plane.hessian, np.diag(pairs.values[[2, 0]]), atol=1e-9)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ((), "none: give one, or two"),
        ((2, 2), "2, 2: give one, or two that differ"),
        ((1, 2, 3), "1, 2, 3: give one, or two"),
        ((1, 5), "eigenvector=5 is out of range: it must be from 1 to 4"),
        ((0,), "eigenvector=0 is out of range"),
    ],
)
def test_eigenvectors_that_are_not_there_are_refused(indices: tuple[int, ...], message: str) -> None:
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(build("mlp").problem()), 4)
    with pytest.raises(ValueError, match=message):
        eigenvector_directions(pairs, *indices)


def test_main_directions_are_those_of_the_problem_s_own_training() -> None:
    problem = build("mlp").problem()
    generator = torch.Generator().manual_seed(0)
    walk = {
        i: {
            name: tensor + torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            for name, tensor in problem.model.state_dict().items()
        }
        for i in range(4)
    }
    own = main_directions(problem.with_checkpoints(walk))
    assert torch.equal(own.vectors, main_directions(problem, walk).vectors)
    with pytest.raises(ValueError, match="at least three checkpoints, and there are 1"):
        main_directions(problem)
