"""The data of the built-in problems: real, small, and on this machine already. Cards: ``data/*.md``."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from workbench import paths

Split = Literal["train", "test"]
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Dataset:
    """Inputs and targets, split once and for all into training and held-out examples.

    Attributes
    ----------
    train, test : (Tensor, Tensor)
        Inputs and targets, one example a row.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    def batches(self, split: Split, size: int) -> list[tuple[Tensor, Tensor]]:
        """Return one split in a fixed order, ``size`` examples at a time."""
        inputs, targets = self.train if split == "train" else self.test
        return list(zip(inputs.split(size), targets.split(size), strict=True))

    def tensors(self) -> list[Tensor]:
        """All that the data consists of, e.g. to hash it."""
        return [*self.train, *self.test]


def digits() -> Dataset:
    """Handwritten digits: images (n, 1, 8, 8) in [0, 1], labels 0 to 9; 1437 to train, 360 held out."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    return _split(images, labels.astype(np.int64), held_out=360, stratify=labels)


def faces() -> Dataset:
    """Grey images (n, 1, 25, 25) in [0, 1]; label 1 is a face, 0 is not; 140 to train, 60 held out."""
    from skimage.data import lfw_subset

    images = lfw_subset().astype(np.float32)[:, None]
    labels = np.repeat(np.array([1, 0]), 100)  # the faces come first
    return _split(images, labels, held_out=60, stratify=labels)


def diabetes() -> Dataset:
    """Ten measurements (n, 10) and the progression of a disease (n, 1); 342 to train, 100 held out.

    Inputs and target are standardised by mean and deviation of the training examples.
    """
    inputs, target = load_diabetes(return_X_y=True, scaled=False)
    raw = _split(inputs.astype(np.float64), target[:, None].astype(np.float64), held_out=100)
    scales = [(part.mean(0), part.std(0, correction=0)) for part in raw.train]
    train, test = (
        tuple(
            ((part - mean) / deviation).float() for part, (mean, deviation) in zip(pair, scales, strict=True)
        )
        for pair in (raw.train, raw.test)
    )
    return Dataset((train[0], train[1]), (test[0], test[1]))


def text() -> tuple[Tensor, Tensor, str]:
    """English prose as codes of characters: training text, held-out text (its last tenth), alphabet."""
    characters = np.frombuffer((paths.data() / "text" / "topics.txt").read_bytes(), dtype=np.uint8)
    alphabet, codes = np.unique(characters, return_inverse=True)
    training, held_out = torch.from_numpy(codes.astype(np.int64)).tensor_split([len(codes) * 9 // 10])
    return training, held_out, alphabet.tobytes().decode("ascii")


def _split(
    inputs: np.ndarray, targets: np.ndarray, *, held_out: int, stratify: np.ndarray | None = None
) -> Dataset:
    parts = train_test_split(inputs, targets, test_size=held_out, random_state=0, stratify=stratify)
    train_inputs, test_inputs, train_targets, test_targets = map(torch.from_numpy, parts)
    return Dataset((train_inputs, train_targets), (test_inputs, test_targets))
