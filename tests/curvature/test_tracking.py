"""Spectra along checkpoints against separate calls, and overlaps against dense eigenvectors."""

import copy
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import Case, build
from torch import Tensor, nn

import workbench as wb
from workbench.curvature import along
from workbench.progress import listening


def states(case: Case, count: int, step: float = 0.05) -> list[dict[str, Tensor]]:
    """States along a random walk, buffers included; all positive variances stay so."""
    generator = torch.Generator().manual_seed(1)
    found = [copy.deepcopy(dict(case.model.state_dict()))]
    for _ in range(count - 1):
        found.append(
            {
                name: tensor + step * torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
                if tensor.is_floating_point()
                else tensor
                for name, tensor in found[-1].items()
            }
        )
    return found


def problem_of(case: Case, state: dict[str, Tensor]) -> wb.Problem:
    """The problem of a model that was loaded by hand."""
    other = copy.copy(case)
    other.model = copy.deepcopy(case.model)
    other.model.load_state_dict(state)
    return other.problem()


def dense_overlap(first: Tensor, second: Tensor, k: int) -> float:
    """Mean squared cosine of the principal angles between the top-k eigenspaces of two matrices."""
    spaces = [torch.linalg.eigh((matrix + matrix.T) / 2)[1][:, -k:] for matrix in (first, second)]
    return torch.linalg.svdvals(spaces[0].T @ spaces[1]).square().mean().item()


@pytest.mark.parametrize("matrix", ["hessian", "ggn"])
def test_along_is_separate_calls_at_each_checkpoint(matrix: str) -> None:
    case = build("cnn_batchnorm")
    walk = states(case, 3)
    before = copy.deepcopy(case.model.state_dict())
    found = along(case.problem(), walk, k=3, matrix=matrix)
    make = {"hessian": wb.curvature.hessian, "ggn": wb.curvature.ggn}[matrix]
    dense = []
    for pairs, loss, state in zip(found.pairs, found.loss, walk, strict=True):
        problem = problem_of(case, state)
        expected = wb.curvature.eigenpairs(make(problem), 3)
        torch.testing.assert_close(pairs.values, expected.values, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(
            pairs.vectors.T @ expected.vectors, torch.eye(3).double(), rtol=0, atol=1e-7
        )
        assert (pairs.residuals < 1e-9).all()
        assert loss == pytest.approx(problem.loss_at(), rel=1e-12)
        dense.append(make(problem).dense())
    for i in range(3):
        assert found.overlap_last[i] == pytest.approx(dense_overlap(dense[i], dense[2], 3), abs=1e-8)
    assert math.isnan(found.overlap_previous[0])
    assert found.overlap_previous[2] == pytest.approx(dense_overlap(dense[1], dense[2], 3), abs=1e-8)
    assert found.overlap_last[2] == pytest.approx(1, abs=1e-10)
    assert (found.matvecs == len(dense[0])).all()
    after = case.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_overlaps_are_right_within_their_bounds_when_eigenvectors_are_rough() -> None:
    """A loose tolerance, over many pairs of checkpoints: never more wrong than said, and sometimes wrong."""
    case = build("layernorm_attention")
    walk = states(case, 8, 0.2)
    dense = [wb.curvature.hessian(problem_of(case, state)).dense() for state in walk]
    errors, bounds = [], []
    for k in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = along(case.problem(), walk, k=k, tol=0.1, max_matvecs=60)
        assert all(pairs.method == "lanczos" for pairs in found.pairs)
        for i in range(8):
            truth = dense_overlap(dense[i], dense[-1], k)
            errors.append(abs(found.overlap_last[i] - truth))
            bounds.append(found.overlap_last_error[i])
    assert (np.array(errors) <= np.array(bounds) + 1e-12).all()
    assert max(errors) > 1e-4
    assert min(bounds) < 0.1


def test_files_of_all_kinds_and_labels(tmp_path: Path) -> None:
    case = build("mlp")
    walk = states(case, 3)
    torch.save(walk[0], tmp_path / "first.pt")
    torch.save({"model": walk[1], "epoch": 7}, tmp_path / "second.pt")
    found = along(case.problem(), [tmp_path / "first.pt", str(tmp_path / "second.pt"), walk[2]], k=2)
    assert found.labels == ("first", "second", "2")
    assert found.position.tolist() == [0, 1, 2]
    by_epoch = along(case.problem(), {1: tmp_path / "first.pt", 5: walk[1], 50: walk[2]}, k=2)
    assert by_epoch.position.tolist() == [1, 5, 50]
    for one, other in zip(found.pairs, by_epoch.pairs, strict=True):
        assert torch.equal(one.values, other.values)


def test_by_default_it_goes_along_the_problem_s_own_checkpoints_or_takes_what_is_there() -> None:
    case = build("mlp")
    walk = states(case, 3)
    found = along(case.problem().with_checkpoints({1: walk[0], 4: walk[2]}), k=2)
    assert found.labels == ("1", "4")
    assert torch.equal(found.pairs[1].values, along(case.problem(), [walk[2]], k=2).pairs[0].values)
    now = along(case.problem(), k=2)
    assert now.labels == ("now",)
    assert torch.equal(now.pairs[0].values, found.pairs[0].values)


def test_a_bad_checkpoint_is_named_before_anything_is_computed(tmp_path: Path) -> None:
    seen: list[str] = []
    case = build("mlp")
    walk: list[Any] = states(case, 2)
    (tmp_path / "broken.pt").write_bytes(b"nonsense")
    with (
        listening(lambda description, done, total: seen.append(description)),
        pytest.raises(ValueError, match=r"checkpoint 'broken': .*broken\.pt is damaged") as caught,
    ):
        along(case.problem(), [*walk, tmp_path / "broken.pt"])
    assert "\n" not in str(caught.value)
    assert seen == []
    walk[1] = {name: torch.full_like(tensor, torch.nan) for name, tensor in walk[0].items()}
    with pytest.raises(ValueError, match="checkpoint '1': the loss is nan"):
        along(case.problem(), walk)


def test_a_trace_on_request() -> None:
    case = build("mlp")
    walk = states(case, 2)
    found = along(case.problem(), walk, k=2, trace_probes=40, matrix="ggn")
    for estimate, state in zip(found.traces, walk, strict=True):
        truth = wb.curvature.ggn(problem_of(case, state)).dense().trace().item()
        assert abs(estimate.value - truth) < 4 * estimate.stderr
    assert (found.matvecs == case.problem().num_parameters + 40).all()
    assert list(found.checkpoint_frame()["trace"]) == [estimate.value for estimate in found.traces]
    assert not along(case.problem(), walk, k=2).traces


def test_an_interrupt_keeps_the_checkpoints_that_are_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description == "checkpoints" and done == 2:
            raise KeyboardInterrupt

    case = build("mlp")
    walk = states(case, 4)
    with listening(interrupt):
        found = along(case.problem(), walk, k=2)
    assert found.interrupted
    assert found.labels == ("0", "1")
    assert found.overlap_last[1] == pytest.approx(1, abs=1e-10)  # the last one that is there
    assert "interrupted" in found.summary()
    found.plot_overlap()


def test_an_interrupt_within_a_checkpoint_leaves_that_one_out() -> None:
    """Lanczos itself returns what it has when it is interrupted: half a checkpoint is none."""
    finished = 0

    def interrupt(description: str, done: int, total: int | None) -> None:
        nonlocal finished
        finished = max(finished, done) if description == "checkpoints" else finished
        if description == "Lanczos products" and done == 10 and finished == 1:
            raise KeyboardInterrupt

    case = build("mlp")
    with listening(interrupt):
        found = along(case.problem(), states(case, 3), k=2, tol=1e-8, max_matvecs=42)
    assert found.labels == ("0",)
    assert found.interrupted
    assert not found.pairs[0].interrupted

    finished = 1
    with listening(interrupt), pytest.raises(KeyboardInterrupt):
        along(case.problem(), states(case, 3), k=2, tol=1e-8, max_matvecs=42)


def test_all_pairs_leave_no_gap_to_bound() -> None:
    problem = wb.Problem(nn.Linear(1, 1).double(), nn.MSELoss(), (torch.ones(3, 1).double(),) * 2)
    state = problem.model.state_dict()
    found = along(problem, [state, state], k=2)
    np.testing.assert_allclose(found.overlap_last, 1)
    np.testing.assert_allclose(found.overlap_last_error, 0)


def test_an_eigenspace_without_a_gap_has_an_overlap_of_which_nothing_is_known() -> None:
    """(x₁² + … + x₄²) / 2 has one eigenvalue four times over: any two vectors are its top two."""
    layer = nn.Linear(4, 1, bias=False).double()
    data = 2**0.5 * torch.eye(4, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    problem = wb.Problem(layer, nn.MSELoss(), data)
    found = along(problem, [layer.state_dict()] * 2, k=2)
    assert (found.overlap_last_error == 1).all()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"matrix": "fisherman"}, "matrix='fisherman' is not one of 'hessian', 'ggn'"),
        ({"k": 44}, "k=44 is out of range: it must be from 1 to 43"),
        ({"trace_probes": -1}, "trace_probes=-1"),
    ],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    case = build("mlp")
    with pytest.raises(ValueError, match=message):
        along(case.problem(), states(case, 2), **keywords)


# ---- the result ------------------------------------------------------------------------------------------


def test_trajectories_survive_saving(tmp_path: Path) -> None:
    case = build("mlp")
    found = along(case.problem(), states(case, 3), k=2, trace_probes=10)
    again = wb.load_result(found.save(tmp_path / "trajectory.npz"))
    assert isinstance(again, wb.curvature.Trajectory)
    assert torch.equal(again.pairs[1].vectors, found.pairs[1].vectors)
    assert again.frame().equals(found.frame())
    assert again.checkpoint_frame().equals(found.checkpoint_frame())
    assert again.summary() == found.summary()


def test_the_frame_has_a_row_for_each_checkpoint_and_pair() -> None:
    case = build("mlp")
    found = along(case.problem(), {"start": states(case, 2)[0], "end": states(case, 2)[1]}, k=2)
    frame = found.frame()
    assert len(frame) == 4
    row = frame[(frame["checkpoint"] == "end") & (frame["index"] == 2)]
    assert row["eigenvalue"].item() == found.pairs[1].values[1].item()


def test_the_plots_show_eigenvalues_overlaps_and_what_did_not_converge() -> None:
    case = build("mlp")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = along(case.problem(), states(case, 3), k=2, max_matvecs=8)
    assert "NOT CONVERGED" in found.summary()
    axes = found.plot()
    largest = np.asarray(axes.containers[0].lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(largest, [pairs.values[0] for pairs in found.pairs])
    assert "NOT converged" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "2"]
    axes = found.plot_overlap()
    shown = np.asarray(axes.containers[1].lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(shown, found.overlap_last)
