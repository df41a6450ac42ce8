"""The operators against central differences and explicit Jacobians, in float64, case by case."""

import gc
import threading
import warnings
import weakref
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from curvature_cases import Case, build
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

import workbench as wb
from workbench.curvature.operators import GGN, Hessian, as_operator
from workbench.progress import listening, progress


def relative(difference: Tensor, truth: Tensor) -> float:
    return (difference.norm() / truth.norm().clamp(min=1e-3)).item()


def columns(op: wb.curvature.CurvatureOperator) -> Tensor:
    """The matrix by products alone."""
    return op @ torch.eye(op.shape[0], dtype=torch.float64)


# ---- the numbers -----------------------------------------------------------------------------------------


def test_hessian_equals_central_differences_of_the_gradient(case: Case) -> None:
    matrix = columns(wb.curvature.hessian(case.problem()))
    truth = case.hessian_by_differences(matrix)
    assert relative(matrix - truth, truth) < 1e-7
    assert relative(matrix - matrix.T, truth) < 1e-13


def test_ggn_equals_jacobians_around_the_loss_hessian(case: Case) -> None:
    matrix = columns(wb.curvature.ggn(case.problem()))
    truth = case.ggn_by_outputs()
    assert relative(matrix - truth, truth) < 1e-7
    assert relative(matrix - matrix.T, truth) < 1e-13


def test_the_comparisons_see_a_wrong_weighting_and_a_wrong_derivative() -> None:
    case = build("unequal_last_batch")
    problem = case.problem()
    parts = [columns(wb.curvature.hessian(problem.with_data([batch]))) for batch, _ in problem.batches()]
    equal = torch.stack(parts).mean(dim=0)  # every batch alike, the last one of 1 example too
    truth = case.hessian_by_differences(equal)
    assert relative(equal - truth, truth) > 1e-2

    case = build("relu")
    gauss_newton = case.ggn_by_outputs()
    truth = case.hessian_by_differences(gauss_newton)
    assert relative(gauss_newton - truth, truth) > 1e-2


def test_dense_equals_products(case: Case) -> None:
    for op in (wb.curvature.hessian(case.problem()), wb.curvature.ggn(case.problem())):
        expected = columns(op)
        assert relative(op.dense() - expected, expected) < 1e-13


def test_all_columns_at_once_are_used_where_they_work() -> None:
    fast = Hessian(wb.Problem(Calls(torch.sin), squares, classes()))
    model = Calls(Peeking.apply)
    model.load_state_dict(fast.problem.model.state_dict())
    slow = Hessian(wb.Problem(model, squares, classes()))
    torch.testing.assert_close(fast.dense(), slow.dense())
    assert (fast._batches_columns, slow._batches_columns) == (True, False)


@pytest.mark.parametrize("make", [Hessian, GGN])
def test_a_loss_that_columns_cannot_go_through_together_takes_graphs(make: type[Hessian] | type[GGN]) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return Peeking.apply(outputs.sin()).square().mean()

    def same(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sin().sin().square().mean()

    model = nn.Sequential(nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 2)).double()
    data = (torch.randn(5, 20, dtype=torch.float64), torch.zeros(5))
    op, other = (make(wb.Problem(model, each, data)) for each in (loss, same))
    block = torch.randn(op.shape[0], 3, dtype=torch.float64)
    torch.testing.assert_close(op @ block, other @ block)
    assert (op.plan().method, other.plan().method) == ("retained", "structured")


def test_a_linear_loss_and_unused_parameters_have_exact_zeros() -> None:
    case = build("unused_parameters")
    matrix = columns(wb.curvature.hessian(case.problem()))
    unused = next(s for s in case.problem().layout if s.name == "unused.weight")
    assert torch.count_nonzero(matrix[unused.start :]) == 0
    assert torch.count_nonzero(matrix[: unused.start]) > 0

    linear = wb.Problem(nn.Linear(3, 1).double(), lambda out, y: (out[:, 0] * y).mean(), regression_data())
    for op in (wb.curvature.hessian(linear), wb.curvature.ggn(linear)):
        assert torch.count_nonzero(columns(op)) == 0


def test_regularization_is_added_on_request_and_named() -> None:
    case = build("mlp")
    plain = case.problem()
    problem = case.problem(
        regularizer=lambda parameters: parameters["0.weight"].pow(4).sum(), weight_decay=0.3
    )
    theta = problem.parameters_vector()
    added = torch.full_like(theta, 0.3)
    added[:20] += 12 * theta[:20] ** 2
    for make in (wb.curvature.hessian, wb.curvature.ggn):
        op = make(problem, regularization=True)
        assert op.terms == "loss + regularizer + weight decay"
        assert make(problem).terms == "loss"
        torch.testing.assert_close(columns(make(problem)), columns(make(plain)), rtol=0, atol=0)
        torch.testing.assert_close(columns(op), columns(make(plain)) + torch.diag(added))
        torch.testing.assert_close(op.dense(), columns(op))


def test_ggn_agrees_with_curvlinops() -> None:
    """A peer's independent code, on a model where it is right (no LayerNorm)."""
    curvlinops = pytest.importorskip("curvlinops", reason="the peer is in the extra `bench`")
    case = build("unequal_last_batch")
    problem = case.problem()
    batches = [batch for batch, _ in problem.batches()]
    peer = curvlinops.GGNLinearOperator(case.model, case.loss, case.parameters, batches)
    vectors = torch.randn(problem.num_parameters, 3, dtype=torch.float64)
    torch.testing.assert_close(wb.curvature.ggn(problem) @ vectors, peer @ vectors)


# ---- how a product behaves -------------------------------------------------------------------------------


def regression_data(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return x, torch.randn(count, generator=generator, dtype=torch.float64)


def test_vectors_blocks_and_scipy_agree_and_are_counted() -> None:
    op = wb.curvature.hessian(build("unequal_last_batch").problem())
    block = torch.randn(op.shape[0], 3, dtype=torch.float64)
    product = op @ block
    assert op.matvecs == 3
    torch.testing.assert_close(product[:, 1], op @ block[:, 1], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(product, op @ block, rtol=0, atol=0)
    assert op.matvecs == 7
    scipy = op.to_scipy()
    assert scipy.dtype == np.float64
    np.testing.assert_allclose(scipy @ block.numpy(), product.numpy(), rtol=1e-12)
    np.testing.assert_allclose(scipy @ block[:, 0].numpy(), product[:, 0].numpy(), rtol=1e-12)


def test_what_cannot_be_multiplied_is_refused() -> None:
    op = wb.curvature.hessian(build("mlp").problem())
    n = op.shape[0]
    with pytest.raises(ValueError, match=rf"shape \(3,\) does not fit: pass \({n},\)"):
        op @ torch.zeros(3)
    with pytest.raises(TypeError, match="to_scipy"):
        op @ np.zeros(n)  # type: ignore[operator]
    with pytest.raises(TypeError, match="complex"):
        op @ torch.zeros(n, dtype=torch.complex64)


def _rewrite(tensor: Tensor) -> None:
    with torch.no_grad():
        tensor.copy_(tensor.clone())


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_a_model_that_changed_is_refused(make: Any, memory: int | None) -> None:
    case = build("cnn_batchnorm")
    vector = torch.randn(_size(case), dtype=torch.float64)
    for tensor in (case.model[0].weight.data, case.model[1].running_mean):  # type: ignore[index, union-attr]
        op = make(case.problem(), memory=memory)
        before = op @ vector
        tensor.mul_(2)  # through .data, which leaves the version as it is
        with pytest.raises(ValueError, match=r"changed after this operator was made.*make a new operator"):
            op @ vector
        assert relative(make(case.problem()) @ vector - before, before) > 1e-3


def test_a_kept_batch_that_changed_is_refused() -> None:
    case = build("mlp")
    op = wb.curvature.hessian(case.problem())
    vector = torch.ones(_size(case), dtype=torch.float64)
    op @ vector
    case.inputs.data[3, 1] += 1
    with pytest.raises(ValueError, match="a batch changed"):
        op @ vector


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_tensors_written_with_their_own_content_are_no_change(make: Any) -> None:
    case = build("cnn_batchnorm")
    op = make(case.problem())
    vector = torch.ones(_size(case), dtype=torch.float64)
    before = op @ vector
    for tensor in (*case.model.parameters(), *case.model.buffers(), case.inputs):
        _rewrite(tensor)
    torch.testing.assert_close(op @ vector, before, rtol=0, atol=0)


def test_another_autocast_builds_anew() -> None:
    problem = build("mlp").problem().to(dtype=torch.float32)
    op = wb.curvature.hessian(problem)
    vector = torch.randn(problem.num_parameters)
    plain = op @ vector
    with torch.autocast("cpu", torch.bfloat16):
        coarse = op @ vector
        torch.testing.assert_close(coarse, wb.curvature.hessian(problem) @ vector, rtol=0, atol=0)
    assert 1e-4 < relative(coarse - plain, plain) < 0.1
    torch.testing.assert_close(op @ vector, plain, rtol=0, atol=0)


def test_a_product_works_without_gradients_and_leaves_none() -> None:
    case = build("cnn_batchnorm")
    state = {name: tensor.clone() for name, tensor in case.model.state_dict().items()}
    with torch.no_grad():
        product = wb.curvature.hessian(case.problem()) @ torch.ones(_size(case), dtype=torch.float64)
    assert product.norm() > 0
    assert not product.requires_grad
    assert all(p.grad is None for p in case.model.parameters())
    assert all(torch.equal(state[name], tensor) for name, tensor in case.model.state_dict().items())


@pytest.mark.parametrize("name", ["mlp", "layernorm_attention", "cnn_batchnorm"])
def test_bfloat16_and_float32_models_give_float32_products_of_their_precision(name: str) -> None:
    problem = build(name).problem()
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    for make in (wb.curvature.hessian, wb.curvature.ggn):
        truth = make(problem) @ vector
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.1)):
            op = make(problem.to(dtype=dtype))
            assert (op.dtype, op.precision) == (torch.float32, torch.finfo(dtype).eps)
            product = op @ vector
            assert product.dtype == torch.float32
            assert relative(product.double() - truth, truth) < tolerance


def _size(case: Case) -> int:
    return sum(p.numel() for p in case.parameters)


class Watched(nn.Module):
    """A model that knows which of its graphs are alive: each holds a hook, which is remembered weakly."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1).double()
        self.hooks: list[weakref.ref[Any]] = []

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.linear(x))[:, 0]

        def hook(gradient: Tensor) -> None: ...

        if hidden.requires_grad:
            hidden.register_hook(hook)
            self.hooks.append(weakref.ref(hook))
        return hidden

    def graphs(self) -> int:
        return sum(reference() is not None for reference in self.hooks)


def interrupted(product: Any, *args: Any, **keywords: Any) -> None:
    product(*args, **keywords)
    raise KeyboardInterrupt


class InterruptedHessian(Hessian):
    def _batch_product(self, *args: Any) -> Any:
        return partial(interrupted, super()._batch_product(*args))


class InterruptedGGN(GGN):
    def _batch_product(self, *args: Any) -> Any:
        return partial(interrupted, super()._batch_product(*args))


def test_no_graph_outlives_a_product_that_may_keep_none() -> None:
    model = Watched()
    problem = wb.Problem(model, nn.MSELoss(), regression_data())
    gc.collect()
    gc.disable()  # reference counts alone must do
    try:
        model.hooks.clear()
        for make in (wb.curvature.hessian, wb.curvature.ggn):
            op = make(problem, memory=0, check=False)
            for _ in range(3):
                op @ torch.ones(4, 2, dtype=torch.float64)
        assert len(model.hooks) >= 6
        assert model.graphs() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("operator", [InterruptedHessian, InterruptedGGN])
def test_no_graph_outlives_an_interrupt_whose_traceback_is_kept(operator: Any) -> None:
    model = Watched()
    problem = wb.Problem(model, nn.MSELoss(), regression_data())
    model.hooks.clear()
    with pytest.raises(KeyboardInterrupt) as caught:
        operator(problem) @ torch.ones(4, dtype=torch.float64)
    assert model.hooks
    gc.collect()
    assert caught.tb is not None
    assert model.graphs() == 0


# ---- what has no second derivative -----------------------------------------------------------------------


class Peeking(torch.autograd.Function):
    """The sine, with a backward that looks at the numbers, which torch.vmap refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor | None:
        return gradient * ctx.saved_tensors[0].cos() if bool(gradient.isfinite().all()) else None


class OnceOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.saved_tensors[0].cos()


class Calls(nn.Module):
    """A linear layer followed by a function."""

    def __init__(self, function: Any, outputs: int = 4) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(3, outputs).double(), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.linear(x))


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.square().mean()


def ctc(outputs: Tensor, targets: Tensor) -> Tensor:
    steps = outputs.log_softmax(-1)[:, None]
    return nn.functional.ctc_loss(
        steps, torch.tensor([[1, 2]]), torch.tensor([len(outputs)]), torch.tensor([2])
    )


def classes() -> tuple[Tensor, Tensor]:
    return regression_data()[0], torch.arange(6) % 4


REFUSED = {
    "once_differentiable in the model": (Calls(OnceOnly.apply), squares, "OnceOnly.*once_differentiable"),
    "once_differentiable in the loss": (
        Calls(torch.tanh),
        lambda out, _: OnceOnly.apply(out).mean(),
        "OnceOnly.*once_differentiable",
    ),
    "multi-margin": (Calls(torch.tanh), nn.MultiMarginLoss(), "nn.MultiMarginLoss.*CrossEntropy"),
    "cdist": (Calls(lambda x: torch.cdist(x, x.flip(0))), squares, "torch.cdist"),
}


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_second_derivative_is_refused_by_name(what: str, make: Any) -> None:
    model, loss, message = REFUSED[what]
    problem = wb.Problem(model, loss, classes(), weight="batch")
    op = make(problem)
    with pytest.raises(ValueError, match=message):
        op @ torch.ones(op.shape[0], dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        make(problem).dense()


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_a_reentrant_checkpoint_is_refused_with_the_remedy(make: Any) -> None:
    problem = wb.Problem(Calls(torch.sin), squares, classes())
    problem.model.function = partial(checkpoint, torch.sin, use_reentrant=True)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="use_reentrant=False"):
        make(problem) @ torch.ones(16, dtype=torch.float64)


def test_ctc_is_refused_by_name() -> None:
    problem = wb.Problem(Calls(torch.tanh), ctc, classes(), weight="batch")
    with pytest.raises(ValueError, match=r"nn\.CTCLoss has no second derivative"):
        wb.curvature.hessian(problem) @ torch.ones(16, dtype=torch.float64)


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_checkpointed_attention_is_refused_with_the_remedy(make: Any) -> None:
    case = build("layernorm_attention")
    problem = case.problem()
    forward = case.model.forward
    case.model.forward = partial(checkpoint, forward, use_reentrant=False)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="switch checkpointing off"):
        make(problem) @ torch.ones(problem.num_parameters, dtype=torch.float64)


class Checkpointed(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, x, use_reentrant=False)


def test_a_checkpoint_without_reentry_is_right() -> None:
    case = build("mlp")
    checkpointed = Case(Checkpointed(case.model), case.loss, case.inputs, case.targets, [4, 2])
    for make in (wb.curvature.hessian, wb.curvature.ggn):
        torch.testing.assert_close(columns(make(checkpointed.problem())), columns(make(case.problem())))


def test_other_errors_pass_through() -> None:
    def broken(outputs: Tensor, targets: Tensor) -> Tensor:
        if problem is not None:
            raise RuntimeError("the user's own")
        return outputs.square().mean()

    problem: wb.Problem | None = None
    problem = wb.Problem(Calls(torch.sin), broken, classes())
    with pytest.raises(RuntimeError, match="the user's own"):
        wb.curvature.hessian(problem) @ torch.ones(16, dtype=torch.float64)


# ---- any matrix as an operator ---------------------------------------------------------------------------


def test_matrices_of_all_kinds_are_operators() -> None:
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import aslinearoperator

    matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    vector = torch.tensor([1.0, -1.0])
    for kind in (
        matrix,
        matrix.float(),
        matrix.int(),
        matrix.numpy(),
        csr_matrix(matrix.numpy()),
        aslinearoperator(matrix.numpy()),
    ):
        op = as_operator(kind)
        assert (op @ vector).tolist() == [1.0, -2.0]
        assert op.dense().tolist() == matrix.tolist()
    assert as_operator(op) is op


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(TypeError, match="list is not a matrix"):
        as_operator([[1.0]])
    with pytest.raises(ValueError, match=r"\(2, 3\) is not square"):
        as_operator(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="complex"):
        as_operator(torch.zeros(2, 2, dtype=torch.complex64))


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
def test_a_listener_can_stop_a_block_between_its_columns(make: Any) -> None:
    op = make(build("relu").problem())
    told = []

    def stop(description: str, done: int, total: int | None) -> None:
        told.append(done)
        if len(told) == 4:  # the start of the work, then three products of the first of many columns
            raise KeyboardInterrupt

    with listening(stop), progress("a block", 1), pytest.raises(KeyboardInterrupt):
        columns(op)
    assert told == [0, 0, 0, 0]


# ---- what torch itself does not notice -------------------------------------------------------------------


class FusedCrossEntropy(torch.autograd.Function):
    """The gradient is computed in forward and kept, without a graph."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        with torch.enable_grad():
            copy = outputs.detach().requires_grad_()
            loss = nn.functional.cross_entropy(copy, targets)
            (ctx.gradient,) = torch.autograd.grad(loss, copy)
        return loss.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.gradient, None


class FusedForFloat32(FusedCrossEntropy):
    @staticmethod
    def forward(ctx: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.dtype != torch.float32:
            raise RuntimeError("a kernel for float32")
        return FusedCrossEntropy.forward(ctx, outputs, targets)


class NumbersOnly(torch.autograd.Function):
    """The sine, with a backward that computes without a graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.from_numpy(ctx.saved_tensors[0].cos().detach().numpy()) * gradient


@pytest.mark.parametrize("make", [wb.curvature.hessian, wb.curvature.ggn])
@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (FusedCrossEntropy, torch.float32),
        (FusedCrossEntropy, torch.float64),
        (FusedForFloat32, torch.float32),
    ],
)
def test_a_fused_loss_is_refused(function: Any, dtype: torch.dtype, make: Any) -> None:
    inputs, targets = classes()
    torch.manual_seed(0)
    problem = wb.Problem(
        nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4)).to(dtype),
        lambda out, y: function.apply(3 * out, y),
        (inputs.to(dtype), targets),
    )
    op = make(problem)
    for _ in range(2):  # not at the first product only
        with pytest.raises(ValueError, match=rf"{function.__name__}.*without a graph"):
            op @ torch.ones(op.shape[0])


def test_a_fused_layer_is_refused() -> None:
    problem = wb.Problem(Calls(NumbersOnly.apply), nn.CrossEntropyLoss(), classes())
    with pytest.raises(ValueError, match=r"NumbersOnly.*without a graph"):
        wb.curvature.hessian(problem) @ torch.ones(16, dtype=torch.float64)


def test_a_custom_function_that_is_right_passes_beside_kinks() -> None:
    class OnlyFloat32(Peeking):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            if x.dtype != torch.float32:
                raise RuntimeError("a kernel for float32")
            return Peeking.forward(ctx, x)

    for seed in range(5):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), Calls(OnlyFloat32.apply), nn.Linear(4, 4))
        model[2].linear = nn.Linear(32, 4)
        model.float()
        problem = wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(50, 3), torch.arange(50) % 4))
        for make in (wb.curvature.hessian, wb.curvature.ggn):
            assert (make(problem) @ torch.ones(problem.num_parameters)).isfinite().all()


@dataclass
class Logits:
    values: Tensor


class WrappedOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4).double()

    def forward(self, x: Tensor) -> Logits:
        return Logits(self.linear(x))


def test_ggn_refuses_outputs_whose_tensors_it_cannot_find() -> None:
    problem = wb.Problem(
        WrappedOutputs(), lambda out, y: nn.functional.cross_entropy(out.values, y), classes()
    )
    op = wb.curvature.ggn(problem)
    with pytest.raises(ValueError, match=r"forward= return a tensor"):
        op @ torch.ones(16, dtype=torch.float64)
    assert (wb.curvature.hessian(problem) @ torch.ones(16, dtype=torch.float64)).isfinite().all()


def test_a_penalty_inside_the_loss_is_in_the_hessian_and_refused_by_the_ggn() -> None:
    model = Calls(torch.tanh)
    problem = wb.Problem(
        model,
        lambda out, y: nn.functional.cross_entropy(out, y) + model.linear.weight.square().sum(),
        classes(),
    )
    plain = wb.Problem(model, nn.CrossEntropyLoss(), classes())
    penalty = torch.diag(torch.tensor([2.0] * 12 + [0.0] * 4, dtype=torch.float64))
    difference = wb.curvature.hessian(problem).dense() - wb.curvature.hessian(plain).dense()
    torch.testing.assert_close(difference, penalty)
    with pytest.raises(ValueError, match="regularizer="):
        wb.curvature.ggn(problem) @ torch.ones(16, dtype=torch.float64)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("normalize", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
def test_weight_normalisation(normalize: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(normalize(nn.Linear(4, 3)), nn.Tanh(), nn.Linear(3, 3)).double()
    weight = model[0].weight
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(6, 4).double(), torch.arange(6) % 3))
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    theta, step = problem.parameters_vector(), 1e-5
    ends = problem.gradient(theta + step * vector), problem.gradient(theta - step * vector)
    truth = (ends[0] - ends[1]) / (2 * step)
    assert relative(wb.curvature.hessian(problem) @ vector - truth, truth) < 1e-7
    assert normalize is not nn.utils.weight_norm or model[0].weight is weight


def test_scalar_parameters_and_empty_ones() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
            self.nothing = nn.Parameter(torch.empty(0, 3, dtype=torch.float64))
            self.linear = nn.Linear(3, 4).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * self.scale + self.nothing.sum()

    op = wb.curvature.hessian(wb.Problem(Odd(), nn.CrossEntropyLoss(), classes()))
    assert op.shape == (17, 17)
    torch.testing.assert_close(op.dense(), columns(op))


def test_precision_is_that_of_the_coarsest_layer() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.coarse, self.fine = nn.Linear(3, 4).bfloat16(), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fine(torch.tanh(self.coarse(x.bfloat16())).float())

    problem = wb.Problem(Mixed(), nn.CrossEntropyLoss(), classes())
    for part in (problem, problem.restrict("fine.*")):
        assert wb.curvature.hessian(part).precision == torch.finfo(torch.bfloat16).eps


def test_callers_in_inference_mode_and_on_another_default_device() -> None:
    problem = wb.Problem(Calls(torch.tanh), nn.CrossEntropyLoss(), classes())
    op = wb.curvature.hessian(problem)
    expected = wb.curvature.eigenpairs(op, 2, method="lanczos").values
    with torch.inference_mode(), torch.device("meta"):
        actual = wb.curvature.eigenpairs(op, 2, method="lanczos").values
        first, again = (wb.curvature.trace(op, "xtrace", max_matvecs=6) for _ in range(2))
    assert first == again
    assert torch.equal(actual, expected)


def test_threads_get_the_same_matrix_and_leave_the_filters_of_warnings() -> None:
    problem = wb.Problem(Calls(torch.tanh), nn.CrossEntropyLoss(), classes())
    expected = wb.curvature.hessian(problem).dense()
    filters = list(warnings.filters)
    matrices: list[Tensor] = []

    def work() -> None:
        for _ in range(5):
            matrices.append(wb.curvature.hessian(problem).dense())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(matrices) == 15
    assert all(torch.equal(matrix, expected) for matrix in matrices)
    assert warnings.filters == filters


def test_only_problems_have_curvature() -> None:
    with pytest.raises(TypeError, match=r"Linear is not a workbench\.Problem"):
        wb.curvature.hessian(nn.Linear(2, 2))  # type: ignore[arg-type]
