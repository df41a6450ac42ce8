"""A word for a picture finds an example, a photograph or a file; what does not fit is refused."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.problems.imagenet_classes import class_index
from workbench.problems.images import load_image
from workbench.saliency.experiments import (
    explain_text,
    find_examples,
    is_folder,
    judge,
    label_names,
    located_photographs,
    rank_classes,
    usual_layers,
)
from workbench.saliency.experiments.texts import encode


def small(channels: int, classes: int) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(channels, 3, 3, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, classes),
    )
    inputs, targets = torch.rand(5, channels, 16, 16), torch.zeros(5, dtype=torch.long)
    batches = [(inputs[:2], targets[:2]), (inputs[2:], targets[2:])]
    return wb.Problem(model.eval(), nn.CrossEntropyLoss(), batches, name="small")


@pytest.fixture(scope="module")
def problem() -> wb.Problem:
    return small(3, 4)


def test_numbers_are_those_of_the_examples_over_all_batches(problem):
    inputs = torch.cat([batch[0] for batch, _ in problem.batches()])
    for number in range(5):
        found = find_examples(problem, str(number))
        assert found.names == (f"example {number}",)
        assert torch.equal(found.inputs[0], inputs[number])
    assert torch.equal(find_examples(problem, "all").inputs, inputs)
    assert find_examples(problem, "all", 2).names == ("example 0", "example 1")


def test_the_first_examples_read_no_batch_beyond_them():
    class Counting(list):
        read = 0

        def __iter__(self):
            for batch in list.__iter__(self):
                Counting.read += 1
                yield batch

    inputs = torch.rand(60, 3, 8, 8)
    data = Counting((inputs[i : i + 2], torch.zeros(2, dtype=torch.long)) for i in range(0, 60, 2))
    problem = wb.Problem(small(3, 4).model, nn.CrossEntropyLoss(), data, name="counting")
    assert problem.num_examples == 60  # once, without holding them
    Counting.read = 0
    found = find_examples(problem, "all", 3)
    assert Counting.read < 10  # of 30
    assert torch.equal(found.inputs, inputs[:3])


def test_photographs_by_name_and_from_a_folder(problem, tmp_path):
    found = find_examples(problem, "coffee")
    assert found.names == ("coffee",)
    assert torch.equal(found.inputs[0], load_image("coffee"))
    from PIL import Image

    for name in ("a", "b", "c"):
        Image.new("RGB", (300, 260), "gray").save(tmp_path / f"{name}.png")
    assert find_examples(problem, str(tmp_path), 2).names == ("a.png", "b.png")
    assert is_folder(str(tmp_path))
    assert is_folder("all")
    assert not is_folder("coffee")
    assert not is_folder("3")


def test_what_is_no_picture_of_the_problem_is_refused(problem):
    with pytest.raises(ValueError, match="picture=5"):
        find_examples(problem, "5")
    with pytest.raises(ValueError, match="is no example of 'small'"):
        find_examples(small(1, 4), "coffee")
    with pytest.raises(ValueError, match="did you mean 'coffee'"):
        find_examples(problem, "cofee")
    flat = wb.Problem(nn.Linear(3, 2), nn.CrossEntropyLoss(), (torch.rand(4, 3), torch.zeros(4).long()))
    with pytest.raises(ValueError, match="not pictures"):
        find_examples(flat)


def test_a_thousand_classes_of_colour_pictures_are_those_of_imagenet(problem):
    assert label_names(problem) == ("class 0", "class 1", "class 2", "class 3")
    assert located_photographs(problem) is None
    named = small(3, 1000)
    assert label_names(named)[285] == "Egyptian cat"
    found = located_photographs(named, 3)
    assert found.inputs.shape == (3, 3, 224, 224)
    assert found.boxes.shape == (3, 4)
    assert class_index("Egyptian cat") in found.targets


def test_classes_are_ranked_by_their_logits(problem):
    shown = find_examples(problem, "all", 3)
    found = rank_classes(problem, shown, rank=2, count=9)
    logits = problem.model(shown.inputs)
    assert torch.equal(found.labels, logits.argsort(dim=1, descending=True))
    assert torch.equal(found.chosen, found.labels[:, 1])
    assert torch.allclose(found.probabilities.sum(1), torch.ones(3))
    assert found.chosen_name(1) == f"class {found.labels[1, 1]}"
    assert len(found.frame()) == 12
    found.plot(sample=2).figure.canvas.draw()
    assert "example 0: class" in found.summary()
    with pytest.raises(ValueError, match="rank=6"):
        rank_classes(problem, shown, rank=6)


def test_the_usual_layers_begin_at_the_input(problem):
    assert usual_layers(problem) == ("input", "1")
    assert usual_layers(problem, ["0", "input"]) == ("input", "0")


def test_a_judgement_has_explainers_of_the_last_two_layers_and_floors(problem):
    found = judge(problem, ["grad_cam"], ["0", "1"], 2, steps=3)
    assert list(found.evidence)[:2] == ["grad_cam · 0", "grad_cam · 1"]
    assert len(found.floors) == 3
    assert found.metrics == ("insertion", "deletion", "sparseness")


def test_a_text_is_explained_for_one_of_its_likeliest_next_characters():
    writer = wb.load_problem("text-gpt", epochs=0, width=16, blocks=1, context=8)
    found = explain_text(writer, "a text that is too long", rank=2)
    assert "".join(found.tokens[0]) == "too long"
    logits = writer.model(encode("too long", wb.problems.datasets.text()[2])[None])[0, :, -1]
    assert found.targets.item() == logits.argsort(descending=True)[1]
    with pytest.raises(ValueError, match="text is empty"):
        explain_text(writer, "")
    with pytest.raises(ValueError, match="text has 'ü'"):
        explain_text(writer, "für")
