import pytest
import torch
from kernel_accuracy import assert_near
from kernel_compilation import TARGETS, Compilation, check

from workbench.kernels import dora_norm, dora_norms
from workbench.kernels.dora_norms import cross_kernel, norms_by_pytorch, precisions, squared_norms

SHAPES = [(1, 1, 1), (96, 160, 24), (100, 130, 40), (70, 33, 65)]  # rows, inputs, rank


def matrices(shape, weight=torch.float32, update=torch.float32, seed=0):
    """W, A and B, of a size that makes BA about as large as W."""
    rows, inputs, rank = shape
    random = torch.Generator().manual_seed(seed)
    w = torch.randn(rows, inputs, generator=random).to(weight)
    a = torch.randn(rank, inputs, generator=random).to(update)
    b = (torch.randn(rows, rank, generator=random) / rank**0.5).to(update)
    return w, a, b


def dense(w, a, b, scale):
    """The definition, in float64."""
    return torch.linalg.norm(w.double() + scale * b.double() @ a.double(), dim=1)


@pytest.mark.parametrize("scale", [0.0, 2.0, -0.5])
@pytest.mark.parametrize("dtypes", [
    (torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.bfloat16, torch.float32),
    (torch.float16, torch.float16),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_norm_is_that_of_the_dense_matrix(shape, dtypes, scale):
    given = matrices(shape, *dtypes)
    norm = dora_norm(*given, scale)
    assert norm.dtype == torch.float32  # whatever came in
    assert_near("norm", norm, dense(*given, scale), 5e-7)


def test_squared_norms_may_be_handed_in():
    w, a, b = matrices((70, 33, 5))
    assert torch.equal(dora_norm(w, a, b, 2.0, squared_norms(w)), dora_norm(w, a, b, 2.0))
    assert_near(
        "other", dora_norm(w, a, b, 0.0, torch.full((70,), 9.0)), torch.full((70,), 3.0).double(), 1e-7
    )


@pytest.mark.parametrize("chunk", [1, 7, 64, 100, 1000])
def test_chunks_of_rows_change_nothing(chunk, monkeypatch):
    monkeypatch.setattr(dora_norms, "_CHUNK", chunk)
    w, a, b = (each.double() for each in matrices((100, 130, 40)))
    assert_near("norm", dora_norm(w, a, b, 2.0), dense(w, a, b, 2.0), 1e-13)


def test_rows_that_are_zero_or_cancel_have_norm_zero():
    w, a, b = matrices((70, 33, 5))
    w[3], b[3] = 0, 0
    w[4] = -2.0 * b[4] @ a
    norm = dora_norm(w, a, b, 2.0)
    assert norm[3] == 0
    # The square is right to roundings of ‖W‖², so the norm to their root.
    assert 0 <= norm[4] < 2e-3 * w[4].norm()
    assert norm.isfinite().all()


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 4, 0)], ids=str)
def test_empty_matrices_are_matrices(shape):
    given = matrices(shape)
    assert_near("norm", dora_norm(*given, 2.0), dense(*given, 2.0), 5e-7)


def test_a_number_that_is_none_stays_none():
    w, a, b = matrices((5, 7, 2))
    w[2, 3] = float("nan")
    assert dora_norm(w, a, b, 2.0).isnan().tolist() == [False, False, True, False, False]


def test_derivatives_to_second_order_in_float64():
    given = [each.double().requires_grad_() for each in matrices((4, 5, 2))]
    assert torch.autograd.gradcheck(lambda w, a, b: dora_norm(w, a, b, 1.5), given)
    assert torch.autograd.gradgradcheck(lambda w, a, b: dora_norm(w, a, b, 1.5), given)


def test_no_gradient_means_no_graph():
    w, a, b = matrices((5, 7, 2))
    with torch.no_grad():
        assert not dora_norm(w, a.requires_grad_(), b, 2.0).requires_grad


def test_torch_knows_the_operation():
    torch.library.opcheck(dora_norms._norms, (*matrices((5, 7, 2)), 2.0, None))


def test_batches_of_updates_pass_through():
    w, a, b = matrices((6, 5, 2))
    updates = torch.stack([a, 2 * a])
    norms = torch.func.vmap(lambda each: dora_norm(w, each, b, 1.5))(updates)
    assert torch.allclose(norms[1], norms_by_pytorch(w, 2 * a, b, 1.5))


def test_products_of_halves_need_no_splitting():
    half, full = torch.bfloat16, torch.float32
    assert precisions(half, half, amd=False) == ("tf32", "tf32x3")
    assert precisions(torch.float16, half, amd=False) == ("tf32", "tf32x3")
    assert precisions(half, full, amd=False) == ("tf32x3", "tf32x3")
    assert precisions(half, half, amd=True) == ("ieee", "ieee")


def test_what_does_not_fit_is_refused():
    w, a, b = matrices((6, 5, 2))
    with pytest.raises(
        ValueError, match=r"weight \(6, 5\), a \(2, 5\), b \(2, 6\): b @ a must have the shape"
    ):
        dora_norm(w, a, b.T, 1.0)
    with pytest.raises(ValueError, match="all must be matrices"):
        dora_norm(w, a[0], b, 1.0)
    with pytest.raises(ValueError, match=r"squared has shape \(5,\), not one entry per row"):
        dora_norm(w, a, b, 1.0, torch.ones(5))


def compilation(kind, update, precision, full):
    pointers = {"weight_ptr": f"*{kind}", "a_ptr": f"*{update}", "b_ptr": f"*{update}"}
    pointers |= {"gram_ptr": "*fp32", "partial_ptr": "*fp32"}
    sizes = {"rows": "i32", "inputs": "i32", "rank": "i32", "scale": "fp32"}
    constants = {"PRECISION": precision, "FULL": full, "ROWS": 64, "RANK": 64, "INPUTS": 32}
    name = f"{kind} weight, {update} update, {full}"
    return Compilation(name, cross_kernel, pointers | sizes, constants, dots=True)


NVIDIA = [
    compilation("bf16", "bf16", "tf32", "tf32x3"),
    compilation("bf16", "fp32", "tf32x3", "tf32x3"),
    compilation("fp32", "fp32", "tf32x3", "tf32x3"),
]
AMD = [compilation("bf16", "bf16", "ieee", "ieee"), compilation("fp32", "fp32", "ieee", "ieee")]


@pytest.mark.compiled
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", NVIDIA + AMD, ids=lambda case: case.name)
def test_norm_compiles_within_the_gates(case, target):
    if (case in AMD) == target.startswith("gfx"):
        check("dora_norms", case, target)
