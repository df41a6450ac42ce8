"""Alignment by layer against dense blocks of autograd, and what is no set of data sets of one network."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.domains import LayerAlignment, domain_problems, layer_alignment
from workbench.domains import layer_alignments as module
from workbench.domains.layer_alignments import MATRICES
from workbench.result import load_result

OPTIONS = {"width": 4, "steps": 20, "seeds": 2}


@pytest.fixture(scope="module")
def networks() -> list[list[wb.Problem]]:
    return domain_problems("label", "vrex", weight=10.0, **OPTIONS)


@pytest.fixture(scope="module")
def alignment(networks) -> LayerAlignment:
    return layer_alignment(networks, tol=1e-3)


@pytest.mark.parametrize("matrix", ["hessian", "ggn"])
def test_distances_are_those_of_dense_blocks(networks, matrix):
    found = layer_alignment(networks[:1], matrix=matrix, tol=1e-4)
    problems = networks[0]
    for place, layer in enumerate(("hidden1", "hidden2", "head")):
        blocks = [MATRICES[matrix](problem).restrict(f"{layer}.*").dense() for problem in problems]
        for number, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
            norms = [
                torch.linalg.matrix_norm(each, 2) for each in (blocks[a] - blocks[b], blocks[a], blocks[b])
            ]
            truth = float(norms[0] / max(norms[1:]))
            assert found.values[1, number, place, 0] == pytest.approx(truth, rel=1e-3)
    assert found.residuals.max() < 1e-3


def test_cosines_are_those_of_autograd(networks, alignment):
    for seed, problems in enumerate(networks):
        gradients = []
        for problem in problems:
            problem.model.zero_grad()
            (inputs, targets), _ = next(problem.batches())
            nn.functional.cross_entropy(problem.model(inputs), targets).backward()
            layer = problem.model.hidden2
            gradients.append(torch.cat([layer.weight.grad.flatten(), layer.bias.grad]))
            problem.model.zero_grad()
        truth = torch.cosine_similarity(gradients[0], gradients[2], dim=0)
        assert alignment.values[0, 1, 1, seed] == pytest.approx(float(truth), abs=1e-4)


def test_the_same_data_are_aligned(networks):
    problem = networks[0][0]
    (inputs, targets), _ = next(problem.batches())
    twice = [wb.Problem(problem.model, problem.loss, (inputs, targets), name=name) for name in "ab"]
    found = layer_alignment([twice])
    np.testing.assert_allclose(found.values[0], 1, atol=1e-5)
    np.testing.assert_allclose(found.values[1], 0, atol=1e-5)


@pytest.mark.parametrize("matrix", ["hessian", "ggn"])
def test_a_layer_of_dead_units_has_no_measures_and_spoils_no_other(matrix):
    random = torch.Generator().manual_seed(0)
    layers = {"dead": nn.Linear(3, 4), "relu": nn.ReLU(), "head": nn.Linear(4, 2)}
    model = nn.Sequential(OrderedDict(layers))
    nn.init.constant_(model.dead.bias, -100.0)
    problems = [
        wb.Problem(
            model, nn.CrossEntropyLoss(), (torch.randn(9, 3, generator=random), labels.long()), name=name
        )
        for name, labels in (("a", torch.arange(9) < 2), ("b", torch.arange(9) < 8))
    ]
    found = layer_alignment([problems], matrix=matrix)
    assert np.isnan(found.values[:, 0, 0, 0]).all()
    assert np.isnan(found.residuals[0, 0, 0])
    # Both heads see their bias alone: the same Hessian, gradients of opposed signs.
    assert found.values[0, 0, 1, 0] == pytest.approx(-1, abs=1e-5)
    assert found.values[1, 0, 1, 0] == pytest.approx(0, abs=1e-5)
    assert found.largest_residual < 1e-2
    assert "residuals up to nan" not in found.summary()


def test_problems_are_named_after_their_environments(networks, alignment):
    names = [problem.name for problem in networks[1]]
    assert names == ["10% above 4", "30% above 4", "90% above 4"]
    assert alignment.pairs[0] == tuple(names[:2])
    assert alignment.layers == ("hidden1", "hidden2", "head")


def test_the_result_is_a_table_a_picture_and_a_file(alignment, tmp_path):
    assert len(alignment.frame()) == 9
    assert alignment.plot(measure="cosine").get_ylabel() == "cosine of the gradients"
    assert "products" in alignment.summary()
    again = load_result(alignment.save(tmp_path / "alignment.wb"))
    np.testing.assert_array_equal(again.values, alignment.values)


def test_an_interrupt_keeps_the_networks_that_are_done(networks, monkeypatch):
    norm, calls = module._norm, []

    def stop(*given):
        calls.append(given)
        if len(calls) > 20:  # 18 are the first network's
            raise KeyboardInterrupt
        return norm(*given)

    monkeypatch.setattr(module, "_norm", stop)
    found = layer_alignment(networks)
    assert found.interrupted
    assert found.networks == 1


def test_what_cannot_be_compared_is_refused(networks):
    with pytest.raises(ValueError, match="nothing to compare"):
        layer_alignment([])
    with pytest.raises(ValueError, match="nothing to compare"):
        layer_alignment([networks[0][:1]])
    with pytest.raises(ValueError, match="same name"):
        layer_alignment([[networks[0][0], networks[0][0]]])
    with pytest.raises(ValueError, match="another network's parameters"):
        layer_alignment([[networks[0][0], networks[1][1]]])
    with pytest.raises(ValueError, match="network 1 has other problems"):
        layer_alignment([networks[0], networks[1][:2]])
    with pytest.raises(ValueError, match="matrix='fisher'"):
        layer_alignment(networks, matrix="fisher")
