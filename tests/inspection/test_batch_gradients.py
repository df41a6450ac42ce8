"""Gradient statistics against gradients of single examples by torch.func."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

import workbench as wb
from workbench.inspection import GradientStatistics, gradient_statistics
from workbench.minibatches import minibatches
from workbench.progress import listening

N = 24


@pytest.fixture
def problem() -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    inputs, targets = torch.randn(N, 4).double(), torch.randint(0, 3, (N,))
    batches = [(inputs[:10], targets[:10]), (inputs[10:], targets[10:])]
    return wb.Problem(model, nn.CrossEntropyLoss(), batches)


@pytest.fixture
def examples(problem: wb.Problem) -> Tensor:
    """Gradients (N, n) of the single examples, without Workbench."""
    inputs, targets = (torch.cat(parts) for parts in zip(*(b for b, _ in problem.batches()), strict=True))
    parameters = {name: p.detach() for name, p in problem.model.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(problem.model, parameters, (x[None],)), y[None])

    found = vmap(grad(loss), (None, 0, 0))(parameters, inputs, targets)
    return torch.cat([g.reshape(N, -1) for g in found.values()], dim=1)


PARTS = {"0": slice(0, 25), "2": slice(25, 43)}


def test_norm_noise_and_signal_of_every_layer(problem: wb.Problem, examples: Tensor) -> None:
    found = gradient_statistics(problem, batch_size=4, batches=400)
    assert found.layers == tuple(PARTS)
    mean = examples.mean(0)
    for part, where in [(found.whole, slice(None)), *zip(found.by_layer, PARTS.values(), strict=True)]:
        square = mean[where].square().sum().item()
        trace = (examples - mean)[:, where].square().sum().item() / (N - 1)
        assert part.norm == pytest.approx(math.sqrt(square), rel=1e-12)
        assert abs(part.noise.value - trace) < 4 * part.noise.error
        assert part.noise.error < 0.1 * trace
        truth = 4 * square / trace
        assert abs(part.signal_to_noise.value - truth) < 4 * part.signal_to_noise.error
    assert found.noise_floor == 4 / N
    assert found.gradients == pytest.approx(1 + 400 * 4 / N)


def test_errors_of_noise_and_ratio_are_as_large_as_their_spread(problem: wb.Problem) -> None:
    runs = [gradient_statistics(problem, batch_size=4, seed=seed).whole for seed in range(60)]
    for name in ("noise", "signal_to_noise"):
        values = np.array([getattr(run, name).value for run in runs])
        errors = np.array([getattr(run, name).error for run in runs])
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.35)


def test_cosines_and_conflicts_are_those_of_all_pairs(problem: wb.Problem, examples: Tensor) -> None:
    found = gradient_statistics(problem, batch_size=2, batches=9, seed=3)
    index = torch.arange(N)
    numbered = problem.with_data([(index.double()[:, None].expand(N, 4), torch.zeros(N, dtype=torch.long))])
    drawn = [batch[0][:, 0].long() for batch in minibatches(numbered, 2, 9, 3)]
    vectors = torch.stack([examples[chosen].mean(0) for chosen in drawn])
    cosines = F.cosine_similarity(vectors[:, None], vectors[None], dim=-1).numpy()
    np.testing.assert_allclose(found.cosines, cosines, atol=1e-12)
    pairs = list(itertools.combinations(range(9), 2))
    assert found.whole.mean_cosine.value == pytest.approx(np.mean([cosines[p] for p in pairs]), rel=1e-12)
    assert found.whole.conflicts.value == pytest.approx(np.mean([cosines[p] < 0 for p in pairs]))
    for layer, where in zip(found.by_layer, PARTS.values(), strict=True):
        gram = (vectors[:, where] @ vectors[:, where].T).numpy()
        assert layer.conflicts.value == pytest.approx(np.mean([gram[p] < 0 for p in pairs]))


def test_a_loss_that_adds_up_has_the_same_ratios(problem: wb.Problem) -> None:
    summed = wb.Problem(problem.model, nn.CrossEntropyLoss(reduction="sum"), list(problem._data))
    found, mean = (gradient_statistics(each, batch_size=4) for each in (summed, problem))
    assert found.whole.norm == pytest.approx(N * mean.whole.norm)
    np.testing.assert_allclose(found.whole.signal_to_noise, mean.whole.signal_to_noise, rtol=1e-9)
    np.testing.assert_allclose(found.cosines, mean.cosines, atol=1e-12)


def test_batches_that_cannot_be_split_are_taken_whole(problem: wb.Problem, examples: Tensor) -> None:
    inputs, targets = (torch.cat(parts) for parts in zip(*(b for b, _ in problem.batches()), strict=True))
    own = list(zip(inputs.split(3), targets.split(3), strict=True))
    whole = wb.Problem(problem.model, nn.CrossEntropyLoss(), own, weight="batch")
    found = gradient_statistics(whole)
    assert (found.sampling, found.batches, found.batch_size) == ("own", 8, 3)
    vectors = torch.stack([part.mean(0) for part in examples.split(3)])
    scatter = (vectors - vectors.mean(0)).square().sum().item() / 7
    assert found.whole.noise.value == pytest.approx(3 * scatter, rel=1e-9)
    assert "cannot be taken out of their batches" in found.summary()


def test_batches_of_different_shapes_are_taken_whole() -> None:
    class Mean(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).mean(1)

    torch.manual_seed(0)
    batches = [(torch.randn(4, length, 3), torch.randn(4, 2)) for length in (2, 3, 4, 5)]
    found = gradient_statistics(wb.Problem(Mean(3, 2), nn.MSELoss(), batches))
    assert (found.sampling, found.batches) == ("own", 4)
    assert "different shapes" in found.summary()


def test_batches_with_a_tensor_that_all_examples_share_are_taken_whole() -> None:
    class Masked(nn.Linear):
        def forward(self, input: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(input * mask)

    torch.manual_seed(0)
    batches = [(torch.randn(6, 3), torch.ones(1, 3), torch.randn(6, 2)) for _ in range(4)]
    found = gradient_statistics(wb.Problem(Masked(3, 2), nn.MSELoss(), batches), batch_size=4)
    assert (found.sampling, found.batches) == ("own", 4)
    assert "without a row for each example" in found.summary()


def test_one_batch_that_cannot_be_split_has_norms_only(problem: wb.Problem) -> None:
    alone = wb.Problem(problem.model, nn.CrossEntropyLoss(), list(problem._data)[:1], weight="batch")
    found = gradient_statistics(alone)
    assert found.batches == 0
    assert found.whole.norm == pytest.approx(alone.gradient().norm().item())
    assert math.isnan(found.whole.noise.value)
    assert "the data is one batch" in found.summary()
    found.plot()
    found.plot_cosines()


def test_a_layer_without_a_gradient_is_unknown() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.used(x))

    found = gradient_statistics(wb.Problem(Unused(), nn.MSELoss(), (torch.randn(9, 3), torch.randn(9, 2))))
    used, unused = found.by_layer
    assert used.signal_to_noise.value > 0
    assert unused.norm == 0
    assert math.isnan(unused.signal_to_noise.value)


def test_minibatches_without_a_target_that_counts_are_left_out() -> None:
    torch.manual_seed(0)
    targets = torch.full((20,), -100)
    targets[:10] = torch.arange(10) % 3
    problem = wb.Problem(nn.Linear(4, 3), nn.CrossEntropyLoss(), (torch.randn(20, 4), targets))
    found = gradient_statistics(problem, batch_size=1)
    empty = 20 - found.batches
    assert 0 < empty < 20
    assert found.left_out == {f"{empty} minibatches": "none of their targets counts"}
    assert np.isfinite(found.whole.noise.value)


def test_an_interrupt_returns_the_minibatches_so_far(problem: wb.Problem) -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if description == "minibatch gradients" and done == 5:
            raise KeyboardInterrupt

    with listening(stop):
        found = gradient_statistics(problem, batch_size=4)
    assert found.interrupted
    assert found.batches == 5
    assert found.gradients == pytest.approx(1 + 5 * 4 / N)
    full = gradient_statistics(problem, batch_size=4)
    # Products of fewer rows may round otherwise.
    np.testing.assert_allclose(found.grams[:, :5, :5], full.grams[:, :5, :5], rtol=1e-12, atol=1e-15)
    assert "INTERRUPTED" in found.summary()


def test_a_result_is_saved_drawn_and_tabulated(problem: wb.Problem, tmp_path: object) -> None:
    found = gradient_statistics(problem, batch_size=4)
    again = wb.load_result(found.save(f"{tmp_path}/found.npz"))
    assert isinstance(again, GradientStatistics)
    assert again.whole == found.whole
    frame = found.frame()
    assert list(frame["layer"]) == list(PARTS)
    assert list(frame["parameters"]) == [25, 18]
    drawn = found.plot().containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(np.asarray(drawn, dtype=float), frame["signal_to_noise"])
    heights = sum(patch.get_height() for patch in found.plot_cosines().patches)
    assert heights == 190


@pytest.mark.parametrize(
    ("options", "message"),
    [({"batch_size": 0}, "batch_size=0"), ({"batches": 2}, "batches=2"), ({"seed": -1}, "seed=-1")],
)
def test_options_out_of_range_are_refused(problem: wb.Problem, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradient_statistics(problem, **options)


@pytest.mark.parametrize("weight", ["batch", None])
def test_own_batches_of_different_sizes_show_the_noise_of_the_examples_and_its_spread(
    weight: str | None,
) -> None:
    sizes, found = [8, 8, 8, 8, 1], []
    source = torch.Generator().manual_seed(0)
    model = nn.Linear(6, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    for _ in range(300):  # the gradient of an example is -2 x, with x of variance 1: the noise is 24
        batches = []
        for place, size in enumerate(sizes):
            inputs = torch.randn(size, 6, generator=source, dtype=torch.float64)
            targets = torch.ones(size, 1, dtype=torch.float64)
            # tensors of another shape, where the batches are not weighed alike, keep them whole
            batches.append((inputs, targets) if weight else (inputs, targets, torch.ones(size, 1 + place)))
        keywords = {"weight": weight} if weight else {
            "forward": lambda model, batch: model(batch[0]),
            "targets": lambda batch: batch[1],
        }  # fmt: skip
        problem = wb.Problem(model, nn.MSELoss(), batches, **keywords)
        statistics = gradient_statistics(problem)
        assert statistics.sampling == "own"
        found.append(statistics.whole.noise)
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(24, abs=4 * values.std() / math.sqrt(300))
    assert math.sqrt(np.square(errors).mean()) == pytest.approx(values.std(), rel=0.15)


def test_two_own_batches_have_no_error(problem: wb.Problem) -> None:
    whole = wb.Problem(
        problem.model, nn.CrossEntropyLoss(), [b for b, _ in problem.batches()], weight="batch"
    )
    assert math.isnan(gradient_statistics(whole).whole.noise.error)


def test_nothing_is_known_of_gradients_that_are_not_finite(problem: wb.Problem) -> None:
    with torch.no_grad():
        next(problem.model.parameters())[0, 0] = math.nan
    found = gradient_statistics(problem)
    for reading in found.whole[1:]:
        assert np.isnan(reading).all()
    assert "not finite" in found.summary()
