"""Linear imputation against a dense solve of the system written pixel by pixel."""

import numpy as np
import pytest
import torch
from evidence_cases import images
from torch import Tensor

from workbench.saliency.evidence import linear_imputation


def dense(plane: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Solve for all pixels: known ones keep their value, others are weighted means of their neighbours."""
    height, width = plane.shape
    matrix, right = np.eye(height * width), np.where(removed, 0.0, plane).ravel()
    for y, x in zip(*np.nonzero(removed), strict=True):
        near = {
            (y + dy, x + dx): 1 / 6 if dy == 0 or dx == 0 else 1 / 12
            for dy in (-1, 0, 1) for dx in (-1, 0, 1)
            if (dy or dx) and 0 <= y + dy < height and 0 <= x + dx < width
        }  # fmt: skip
        for (v, u), weight in near.items():
            matrix[y * width + x, v * width + u] = -weight / sum(near.values())
    return np.linalg.solve(matrix, right).reshape(height, width)


def holes(share: float, count: int = 3, height: int = 9, width: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, height, width, generator=generator) < share


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95])
def test_every_plane_solves_its_system(share: float) -> None:
    x, removed = images(3, 2, 9, 7), holes(share)
    filled = linear_imputation(x, removed)
    for image, found, gone in zip(x, filled, removed, strict=True):
        for plane, solution in zip(image.numpy(), found.numpy(), strict=True):
            np.testing.assert_allclose(solution, dense(plane, gone.numpy()), atol=1e-12)
    assert torch.equal(filled[~removed[:, None].expand_as(x)], x[~removed[:, None].expand_as(x)])


def test_one_known_pixel_spreads_everywhere() -> None:
    x, removed = images(1, 1, 9, 7), torch.ones(1, 9, 7, dtype=torch.bool)
    removed[0, 4, 2] = False
    torch.testing.assert_close(linear_imputation(x, removed), x[:, :, 4:5, 2:3].expand_as(x))


def test_noise_comes_on_top_of_what_was_imputed() -> None:
    x, removed, noise = images(3, 2, 9, 7), holes(0.5), images(3, 2, 9, 7, seed=1)
    found = linear_imputation(x, removed, noise)
    torch.testing.assert_close(found, linear_imputation(x, removed) + removed[:, None] * noise)


def test_images_do_not_depend_on_their_batch_and_keep_their_type() -> None:
    x, removed = images(3, 2, 9, 7).float(), holes(0.6)
    together = linear_imputation(x, removed)
    alone = torch.cat([linear_imputation(x[i : i + 1], removed[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    assert together.dtype == torch.float32


def test_nothing_left_is_refused_and_what_is_not_finite_stays_in_its_image() -> None:
    x, removed = images(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.bool)
    removed[1] = True
    with pytest.raises(ValueError, match="nothing is left"):
        linear_imputation(x, removed)
    x[0, 0, 0, 0] = torch.nan
    found = linear_imputation(x, holes(0.5, 2, 4, 4))
    assert found[1].isfinite().all()
