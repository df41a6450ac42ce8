"""Trained networks come as problems of their environments, the same as the stack they were trained in."""

import pytest
import torch

from workbench.domains.environments import make_environments
from workbench.domains.trained_networks import domain_problems, train_and_test_heads, trained_networks

OPTIONS = {"weight": 5.0, "width": 6, "steps": 10}


def test_problems_hold_the_environments_and_the_networks_of_their_seed():
    problems = domain_problems("diversity", "coral", seeds=2, **OPTIONS)
    _, networks = trained_networks("diversity", "coral", seeds=[0, 1], **OPTIONS)
    drawn = make_environments("diversity", 1)
    assert [problem.name for problem in problems[1]] == list(drawn.names)
    inputs = drawn.train[0][2][None].repeat(2, 1, 1)
    truth = networks.logits(networks.features(inputs))[1]
    torch.testing.assert_close(problems[1][2].logits(), truth, atol=1e-4, rtol=1e-4)
    assert problems[1][3].num_examples == 360


def test_heads_are_what_the_problems_see():
    drawn, networks = trained_networks("label", "erm", seeds=[0, 1], **OPTIONS)
    problems = domain_problems("label", "erm", seeds=2, **OPTIONS)[1]
    train, test = train_and_test_heads(drawn, networks, 1)
    assert train.features.dtype == torch.float64
    torch.testing.assert_close(train.logits[1].float(), problems[1].logits(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(test.logits[0].float(), problems[2].logits(), atol=1e-4, rtol=1e-4)
    assert float(train.risks()[0]) == pytest.approx(
        problems[0].loss_at(problems[0].parameters_vector()), rel=1e-5
    )


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="seeds=0"):
        domain_problems(seeds=0)
    with pytest.raises(ValueError, match=r"method='fish'.*did you mean 'fishr'"):
        domain_problems(method="fish")
    with pytest.raises(ValueError, match="weight=-1"):
        domain_problems(weight=-1.0)
    with pytest.raises(ValueError, match="steps=-1"):
        domain_problems(steps=-1)
