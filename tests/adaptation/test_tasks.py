"""What a task hands out: a pretrained network, and examples that do not overlap."""

import pytest
import torch

import workbench as wb
from workbench.adaptation.tasks import load_task
from workbench.problems.datasets import digits


def rows(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images.contiguous()}


@pytest.mark.parametrize("name", ["turned", "negative"])
def test_examples_are_the_changed_digits_each_once(small, name):
    task, data = load_task(name, seed=3, **small), digits()
    assert len(task.train[1]) == 100
    assert len(task.validation[1]) == len(data.train[1]) - 100
    both = torch.cat([task.train[0], task.validation[0]])
    back = both.rot90(-1, (2, 3)) if name == "turned" else 1 - both
    assert rows(back) == rows(data.train[0])
    assert torch.equal(task.test[1], data.test[1])
    assert not torch.equal(task.test[0], data.test[0])


def test_the_network_is_that_of_the_problem_of_the_same_seed(small):
    size = {name: small[name] for name in ("width", "blocks")}
    problem = wb.load_problem("digits-transformer", epochs=1, seed=3, **size)
    network = load_task("turned", seed=3, **small).network
    theirs = problem.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())


def test_seeds_draw_other_examples(small):
    one, two = (load_task("turned", seed=seed, **small).train[0] for seed in (0, 1))
    assert not torch.equal(one, two)


def test_what_is_not_allowed_is_refused(small):
    with pytest.raises(ValueError, match="did you mean 'turned'"):
        load_task("turn", seed=0, **small)
    with pytest.raises(ValueError, match="examples=1437 is out of range: it must be from 1 to 1436"):
        load_task("turned", seed=0, **{**small, "examples": 1437})
