"""Curvature of adaptations against dense Hessians of the loss as a function of what is trained."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

import workbench as wb
from workbench.adaptation import AdaptationCurvature, adaptation_curvature, curvatures
from workbench.adaptation.fine_tuning import adapted, fine_tune
from workbench.adaptation.tasks import load_task
from workbench.progress import listening

QUICK = {"rank": 1, "epochs": 1, "products": 10}


def dense_hessian(network: nn.Module, examples: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    """By autograd, in float64, of the loss in the trainable parameters."""
    network = network.double().eval()
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in named.values()]
    images, labels = examples[0].double(), examples[1]

    def loss(theta: torch.Tensor) -> torch.Tensor:
        parts = zip(named.items(), theta.split(sizes), strict=True)
        values = {name: part.view(p.shape) for (name, p), part in parts}
        return nn.functional.cross_entropy(functional_call(network, values, (images,)), labels)

    theta = torch.cat([p.detach().flatten() for p in named.values()])
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():  # the other kernels have no second derivative
        return torch.func.jacrev(torch.func.grad(loss))(theta).numpy()


def test_eigenvalues_and_traces_are_those_of_dense_hessians(small):
    """With the norm differentiated, also for the training that takes it as a constant."""
    tiny = {**small, "examples": 16}
    rates = {"lora": 0.02, "dora": 0.02}
    found = adaptation_curvature("turned", rates, seeds=1, **{**QUICK, "products": 40}, **tiny)
    task = load_task("turned", seed=0, **tiny)
    for row, method in enumerate(rates):
        network = adapted(task.network, method, 1, seed=0)
        fine_tune(network, task.train, optimizer="adamw", rate=0.02, epochs=1, seed=0)
        for module in network.modules():
            if hasattr(module, "constant_norm"):
                module.constant_norm = False
        dense = dense_hessian(network, task.train)
        values = np.linalg.eigvalsh(dense)
        assert found.eigenvalue[row, 1, 0] == pytest.approx(values[-1], rel=0.01)
        assert found.limit[row, 1, 0] == pytest.approx(2 / values[-1], rel=0.01)
        error = abs(found.trace[row, 1, 0] - dense.trace())
        assert error < 5 * found.trace_stderr[row, 1, 0]
        assert found.trace_stderr[row, 1, 0] < 0.2 * abs(values).sum()
    assert found.parameters == (
        len(dense) - sum(m.out_features for m in task.network.modules() if isinstance(m, nn.Linear)),
        len(dense),
    )


def test_the_gauss_newton_matrix_has_a_positive_trace(small):
    found = adaptation_curvature(
        "negative", {"lora": 0.02}, matrix="ggn", seeds=1, **QUICK, **{**small, "examples": 16}
    )
    assert (found.trace > 0).all()
    assert (found.trace > found.eigenvalue - 5 * found.trace_stderr).all()
    assert found.matvecs[0] > 20


def test_an_interrupt_keeps_whole_seeds(small, monkeypatch):
    monkeypatch.setattr(curvatures, "_curvature", lambda *given: (2.0, 0.0, 3.0, 0.0, 7))

    def interrupt(description: str, done: int, total: int | None) -> None:
        if "curvature of" in description and done == 3:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = adaptation_curvature("turned", {"full": 0.02, "lora": 0.02}, seeds=2, **QUICK, **small)
    assert found.seeds == 1
    assert found.matvecs.tolist() == [14, 14]
    assert "INTERRUPTED" in found.summary()


@pytest.mark.parametrize("part", ["Lanczos products", "trace"])
def test_an_interrupt_within_a_measurement_drops_its_seed(small, part):
    trained = 0

    def interrupt(description: str, done: int, total: int | None) -> None:
        nonlocal trained
        if description.startswith("curvature of"):
            trained = done
        elif description == part and trained == 1 and done > 2:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = adaptation_curvature("turned", {"lora": 0.02}, seeds=2, **QUICK, **{**small, "examples": 16})
    assert found.interrupted
    assert found.seeds == 1


def test_the_result_has_a_table_a_picture_and_a_file(tmp_path):
    values = np.arange(1.0, 13.0).reshape(2, 2, 3)
    found = AdaptationCurvature(
        "turned", "ggn", {"full": 0.01, "lora": 0.1}, (9, 4), values, 0.01 * values, 10 * values, values,
        np.array([5, 6]), 2, 100, 1,
    )  # fmt: skip
    table = found.frame()
    row = table[(table["method"] == "lora") & (table["moment"] == "after")]
    assert row["eigenvalue"].item() == pytest.approx(11)
    assert row["limit"].item() == pytest.approx(np.mean([2 / 10, 2 / 11, 2 / 12]))
    assert "2/λ" in found.plot(measure="limit").get_ylabel()
    again = wb.load_result(found.save(tmp_path / "curvature.npz"))
    assert again.summary() == found.summary()
    assert again.methods == ("full", "lora")
    with pytest.raises(ValueError, match="did you mean 'after'"):
        found.mean("full", "aftr", "trace")


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="did you mean 'lora'"):
        adaptation_curvature(learning_rates={"loora": 0.1})
    with pytest.raises(ValueError, match="learning_rates is empty"):
        adaptation_curvature(learning_rates={})
    with pytest.raises(ValueError, match="did you mean 'hessian'"):
        adaptation_curvature(matrix="hesian")
    with pytest.raises(ValueError, match="products=3 is out of range"):
        adaptation_curvature(products=3)
