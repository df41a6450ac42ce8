"""The softmax' curvature along vectors against derivatives of its logarithm in float64."""

import pytest
import torch
from kernel_accuracy import assert_near, tolerance
from kernel_compilation import TARGETS, Compilation, check
from torch import Tensor, nn

from workbench.curvature.operators.loss_hessian import loss_hessian
from workbench.kernels import softmax_product, softmax_row
from workbench.kernels import softmax_rows as module
from workbench.kernels.dispatch import interpreting
from workbench.kernels.softmax_rows import long_row_kernel, row_kernel
from workbench.stability.partition import make_partition

SHAPES = [(1, 1), (5, 3), (20, 10), (3, 257)]


def rows(shape: tuple[int, ...], scale: float = 3.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def hessian(z: Tensor) -> Tensor:
    """The Hessian of log-sum-exp of one row, by autograd in float64."""
    return torch.autograd.functional.hessian(lambda x: x.logsumexp(0), z.double())


def derivatives(z: Tensor, v: Tensor) -> list[Tensor]:
    """First three derivatives of log-sum-exp along v, by autograd in float64; (3, rows)."""
    t = torch.zeros(len(z), dtype=torch.float64, requires_grad=True)
    value = (z.double() + t[:, None] * v.double()).logsumexp(1)
    found = []
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), t, create_graph=True)
        found.append(value.detach())
    return found


@pytest.fixture(params=["whole rows", "long rows"])
def _both(request, monkeypatch):
    """Rows of any length go to either kernel."""
    if request.param == "long rows":
        monkeypatch.setattr(module, "_LONGEST", 0)
        monkeypatch.setattr(module, "_STRIP", 64)


@pytest.mark.usefixtures("_both")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_product_is_that_with_the_hessian(shape, dtype: torch.dtype) -> None:
    z, v = (each.to(dtype) for each in rows(shape))
    weights = torch.linspace(0, 2, shape[0])
    truth = torch.stack([w * hessian(a) @ b.double() for w, a, b in zip(weights.double(), z, v, strict=True)])
    found = softmax_product(z, v, weights)
    assert found.dtype == dtype
    assert_near("product", found, truth, tolerance(dtype))


@pytest.mark.usefixtures("_both")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(5, 3), (20, 10), (3, 257)], ids=str)
def test_moments_are_derivatives(shape, dtype: torch.dtype) -> None:
    z, v = (each.to(dtype) for each in rows(shape))
    found = softmax_row(z, v)
    for name, truth in zip(("mean", "variance", "third"), derivatives(z, v), strict=True):
        assert_near(name, getattr(found, name), truth, 5e-7)
    assert torch.equal(found.low.double(), v.double().amin(1))
    assert torch.equal(found.high.double(), v.double().amax(1))


@pytest.mark.usefixtures("_both")
def test_several_vectors_for_each_row() -> None:
    z, v = rows((6, 70))
    stack = torch.stack([v, 2 * v, v.flip(1)])
    found = softmax_product(z, stack)
    for each, vector in zip(found, stack, strict=True):
        assert_near(
            "product",
            each,
            torch.stack([hessian(a) @ b.double() for a, b in zip(z, vector, strict=True)]),
            5e-7,
        )


@pytest.mark.usefixtures("_both")
def test_a_masked_class_does_not_count_whatever_its_entry() -> None:
    z, v = rows((4, 9))
    z[:, 0], z[1, 4:8] = -torch.inf, -torch.inf
    v[:, 0] = torch.nan
    product, moments = softmax_product(z, v), softmax_row(z, v)
    rest, others = softmax_product(z[:, 1:], v[:, 1:]), softmax_row(z[:, 1:], v[:, 1:])
    assert not product[:, 0].any()
    assert_near("product", product[:, 1:], rest.double(), 5e-7)
    for name, one, two in zip(moments._fields, moments, others, strict=True):
        assert_near(name, one, two.double(), 5e-7)
    assert moments.high[1] == v[1, [1, 2, 3, 8]].max()


@pytest.mark.usefixtures("_both")
def test_a_confident_row_keeps_its_digits() -> None:
    z, v = rows((20, 10), scale=1.0)
    z[:, 3] += 14  # a probability within 1e-5 of 1
    v += 100  # which no curvature sees
    truth = torch.stack([hessian(a) @ b.double() for a, b in zip(z, v, strict=True)])
    assert_near("product", softmax_product(z, v), truth, 5e-7)
    assert_near("variance", softmax_row(z, v).variance, derivatives(z, v)[1], 5e-7)


def test_float64_stays() -> None:
    z, v = (each.double() for each in rows((4, 5)))
    truth = torch.stack([hessian(a) @ b for a, b in zip(z, v, strict=True)])
    torch.testing.assert_close(softmax_product(z, v), truth, rtol=1e-12, atol=1e-15)
    for found, expected in zip(softmax_row(z, v)[:3], derivatives(z, v), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_nothing_has_no_product() -> None:
    assert softmax_product(torch.ones(0, 4), torch.ones(0, 4)).shape == (0, 4)
    assert softmax_product(torch.ones(3, 4), torch.ones(0, 3, 4)).shape == (0, 3, 4)


def test_what_does_not_fit_is_refused() -> None:
    z, v = rows((4, 5))
    with pytest.raises(ValueError, match=r"logits have shape \(4, 5\) and vectors \(4, 4\)"):
        softmax_product(z, v[:, 1:])
    with pytest.raises(ValueError, match=r"weights have shape \(5,\): they must be \(4,\)"):
        softmax_product(z, v, v[0])
    with pytest.raises(ValueError, match=r"both must be \(rows, classes\)"):
        softmax_row(z, v[None])


@pytest.mark.parametrize("shape", [(5, 4), (3, 4, 2)], ids=str)
def test_the_gauss_newton_matrix_is_multiplied_by_it(shape) -> None:
    logits, vector = rows(shape)
    targets = torch.zeros(shape[0], *shape[2:], dtype=torch.int64)
    targets[0] = -100
    loss = nn.CrossEntropyLoss(weight=torch.tensor([0.3, 1.0, 2.0, 0.5]), label_smoothing=0.1)
    products, vectors = [], torch.stack([vector, vector.flip(0)])
    for dtype in (torch.float32, torch.float64):
        weighted = nn.CrossEntropyLoss(weight=loss.weight.to(dtype), label_smoothing=0.1)
        outputs = logits.to(dtype).requires_grad_()
        product = loss_hessian(weighted, weighted(outputs, targets), [outputs], targets)
        by_rows = product.func.__name__ == "_product_by_rows"  # type: ignore[attr-defined]
        assert by_rows == (interpreting() and dtype == torch.float32)
        products.append(
            [
                product([vectors.to(dtype)], batched=True)[0],
                product([vector.to(dtype)], batched=False)[0],
            ]
        )
    for found, truth in zip(*products, strict=True):
        assert_near("product", found, truth, 5e-7)


def test_the_radius_takes_its_spread_from_it() -> None:
    z, v = rows((6, 5))
    z[2, 1], v[2, 1] = -torch.inf, torch.nan
    found, truth = make_partition(z, v), make_partition(z.double(), v.double())
    assert torch.equal(found.spread, truth.spread)  # exact: float32 differences in float64


def compilation(name: str, kind: str, product: bool) -> Compilation:
    """One of the two kernels with its launcher's constants."""
    pointers = {"logits_ptr": f"*{kind}", "vectors_ptr": f"*{kind}", "weights_ptr": "*fp32"}
    types = pointers | {
        "product_ptr": f"*{kind}",
        "moments_ptr": "*fp32",
        "logit_rows": "i32",
        "classes": "i32",
    }
    constants = {"PRODUCT": product, "WEIGHTS": product}
    title = f"{name} {'product' if product else 'moments'} {kind}"
    if name == "long":
        return Compilation(title, long_row_kernel, types, constants | {"STRIP": 2048}, warps=8)
    columns = int(name)
    constants |= {"ROWS": max(1, 2048 // columns), "CLASSES": columns}
    return Compilation(
        title, row_kernel, types | {"rows": "i32"}, constants, warps=16 if columns > 2048 else 4
    )


@pytest.mark.compiled
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("product", [True, False])
@pytest.mark.parametrize(
    ("name", "kind"), [("16", "fp32"), ("8192", "bf16"), ("8192", "fp32"), ("long", "bf16")]
)
def test_compiles_within_the_gates(name: str, kind: str, product: bool, target: str) -> None:
    check("softmax_rows", compilation(name, kind, product), target)
