"""Floors: random maps, a cone, and Sobel's edges as scikit-image has them."""

import numpy as np
import pytest
import torch
from evidence_cases import images, linear
from skimage.filters import sobel

from workbench.saliency.evidence import FLOORS, centre_map, edge_map, random_floor

X, Y, MODEL = images(3, 2, 7, 6), torch.tensor([0, 1, 2]), linear()


def test_random_maps_are_new_at_each_call_and_the_same_for_a_seed_in_any_batches() -> None:
    function = random_floor(4)
    first, second = function(MODEL, X, Y), function(MODEL, X, Y)
    assert not torch.equal(first, second)
    again = random_floor(4)
    parts = [again(MODEL, X[i : i + 1], Y[i : i + 1]) for i in range(3)]
    assert torch.equal(torch.cat(parts), first)
    assert not torch.equal(random_floor(5)(MODEL, X, Y), first)


def test_the_centre_map_falls_from_the_centre_to_the_corners() -> None:
    maps = centre_map(MODEL, images(2, 1, 5, 7), Y[:2])
    assert maps[0, 2, 3] == 1
    corners = maps[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.zeros_like(corners))
    assert maps[0, 2, 4].item() == pytest.approx(1 - 1 / 13**0.5)
    assert torch.equal(maps[0], maps[1])


def test_edges_are_scikit_images() -> None:
    expected = np.stack([sobel(image.mean(0)) for image in X.numpy()])
    np.testing.assert_allclose(edge_map(MODEL, X, Y), expected, atol=1e-12)


def test_every_floor_gives_maps_of_the_size_of_the_inputs() -> None:
    for make in FLOORS.values():
        assert make(0)(MODEL, X, Y).shape == (3, 7, 6)
