"""Products by oneDNN, wherever PyTorch has it: on CPUs where they are not taken they are right, too."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from workbench.kernels import matrix_products
from workbench.kernels.matrix_products import linear, rows_product

CALLS: list[tuple[torch.Size, torch.Size]] = []


@pytest.fixture(autouse=True)
def onednn(monkeypatch):
    """Take it on any CPU, and count."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch was built without oneDNN")
    real = matrix_products._by_onednn
    CALLS.clear()

    def counted(x, rows):
        CALLS.append((x.shape, rows.shape))
        return real(x, rows)

    monkeypatch.setattr(matrix_products, "_onednn_is_faster", lambda: True)
    monkeypatch.setattr(matrix_products, "_LARGE", 0)
    monkeypatch.setattr(matrix_products, "_by_onednn", counted)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(found, truth):
    return ((found.double() - truth).norm() / truth.norm()).item()


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 33, 5), (64, 1000, 3)])
def test_a_product_is_that_of_float64(shape):
    n, k, m = shape
    x, rows = normal(n, k), normal(m, k, seed=1)
    assert error(rows_product(x, rows), x.double() @ rows.double().T) < 5e-7
    assert len(CALLS) == 1


@pytest.mark.parametrize(
    "pair",
    [
        (normal(4, 12)[:, ::2], normal(5, 6)),  # gaps: oneDNN takes minutes for larger ones
        (normal(4, 6).double(), normal(5, 6).double()),
        (normal(0, 6), normal(5, 6)),
        (normal(4, 0), normal(5, 0)),
    ],
)
def test_other_tensors_are_multiplied_as_ever(pair):
    assert torch.equal(rows_product(*pair), pair[0] @ pair[1].T)
    assert not CALLS


@pytest.mark.parametrize("shape", [(300,), (2, 300), (2, 3, 300)])
def test_gradients_are_those_of_float64(shape):
    x, weight = normal(*shape).requires_grad_(), normal(700, 300, seed=1).requires_grad_()
    grad = normal(*shape[:-1], 700, seed=2)
    found = torch.autograd.grad(linear(x, weight), (x, weight), grad)
    exact = [each.detach().double().requires_grad_() for each in (x, weight)]
    truth = torch.autograd.grad(F.linear(*exact), exact, grad.double())
    assert len(CALLS) == 6  # sums over 700 rows in parts
    for mine, true in zip(found, truth, strict=True):
        assert mine.shape == true.shape
        assert error(mine, true) < 5e-7


def test_a_frozen_weight_gets_no_gradient_and_the_input_is_not_kept():
    x, weight = normal(3, 8).requires_grad_(), normal(5, 8)
    output = linear(x, weight)
    assert [saved is None for saved in output.grad_fn.saved_tensors] == [True, False]
    output.sum().backward()
    assert x.grad.shape == x.shape
    assert weight.grad is None


def test_it_is_differentiated_twice():
    x, weight = normal(3, 8).requires_grad_(), normal(5, 8, seed=1).requires_grad_()
    (first,) = torch.autograd.grad(linear(x, weight).pow(3).sum(), x, create_graph=True)
    found = torch.autograd.grad(first.pow(2).sum(), (x, weight))
    (first,) = torch.autograd.grad(F.linear(x, weight).pow(3).sum(), x, create_graph=True)
    for mine, true in zip(found, torch.autograd.grad(first.pow(2).sum(), (x, weight)), strict=True):
        torch.testing.assert_close(mine, true)


def test_transforms_and_forward_mode_go_through_pytorch():
    x, weight = normal(3, 8), normal(5, 8, seed=1)
    torch.testing.assert_close(torch.func.vmap(linear, (0, None))(x[:, None], weight)[:, 0], x @ weight.T)
    _, tangent = torch.func.jvp(lambda x: linear(x, weight), (x,), (x,))
    torch.testing.assert_close(tangent, x @ weight.T)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, x)
        tangent = torch.autograd.forward_ad.unpack_dual(linear(dual, weight)).tangent
    torch.testing.assert_close(tangent, x @ weight.T)


@pytest.mark.parametrize(
    "watcher",
    [
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: FlopCounterMode(display=False),
        lambda: torch.backends.mkldnn.flags(enabled=False),
    ],
)
def test_who_casts_counts_or_forbids_operations_sees_pytorchs(watcher):
    x, weight = normal(3, 8).requires_grad_(), normal(5, 8)
    with watcher():
        linear(x, weight).sum().backward()
        rows_product(x.detach(), weight)
    assert not CALLS
    assert x.grad.shape == x.shape


def test_small_products_are_pytorchs(monkeypatch):
    monkeypatch.setattr(matrix_products, "_LARGE", 4 * 6 * 5 + 1)
    x, rows = normal(4, 6), normal(5, 6)
    assert torch.equal(rows_product(x, rows), x @ rows.T)
    assert torch.equal(linear(x, rows), x @ rows.T)
    assert not CALLS
    rows_product(normal(5, 6), rows)
    assert len(CALLS) == 1


def test_a_vector_with_gaps_is_taken():
    x, weight = normal(600)[::2], normal(7, 300, seed=1)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


def test_a_batch_of_gradients_goes_through_pytorch():
    x, weight = normal(3, 8).requires_grad_(), normal(5, 8)
    output = linear(x, weight)
    (found,) = torch.autograd.grad(output, x, torch.eye(15).view(15, 3, 5), is_grads_batched=True)
    torch.testing.assert_close(found.flatten(1), torch.kron(torch.eye(3), weight))
    assert not CALLS


def test_a_wrong_product_is_not_taken(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(matrix_products, "_vendor", lambda: "AuthenticAMD")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    decide = matrix_products._onednn_is_faster.__wrapped__
    assert decide()
    with torch.device("meta"):
        assert decide()
    monkeypatch.setattr(matrix_products, "_by_onednn", lambda x, rows: 1.01 * x @ rows.T)
    assert not decide()


@pytest.mark.parametrize(("vendor", "capability"), [("GenuineIntel", "AVX512"), ("AuthenticAMD", "AVX2")])
def test_other_cpus_keep_pytorchs_choice(monkeypatch, vendor, capability):
    monkeypatch.undo()
    monkeypatch.setattr(matrix_products, "_vendor", lambda: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert not matrix_products._onednn_is_faster.__wrapped__()


def test_the_vendor_is_read(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: one: two\n")
    monkeypatch.setattr(matrix_products, "_CPUS", file)
    assert matrix_products._vendor() == "AuthenticAMD"
    monkeypatch.setattr(matrix_products, "_CPUS", tmp_path / "nothing")
    assert matrix_products._vendor() == ""
