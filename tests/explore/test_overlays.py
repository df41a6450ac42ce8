"""Pictures in base64 are the inputs, and maps over them have their colours."""

import base64
import io

import numpy as np
import torch
from PIL import Image

from workbench.explore.overlays import overlay_uri, picture_uri, scaled


def decoded(uri):
    kind, data = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=float) / 255


def halves(left, right):
    values = torch.full((16, 16), float(left))
    values[:, 8:] = float(right)
    return values


def test_a_picture_is_its_input_from_black_to_white_enlarged():
    shown = decoded(picture_uri(halves(-3, 5)[None], side=64))
    assert shown.shape == (64, 64, 3)
    np.testing.assert_allclose(shown[:, :28], 0, atol=0.05)
    np.testing.assert_allclose(shown[:, 36:], 1, atol=0.05)


def test_what_is_no_picture_is_gray():
    np.testing.assert_allclose(decoded(picture_uri(torch.rand(7, 16, 16))), 0.5, atol=0.05)


def test_a_map_with_a_sign_is_red_for_and_blue_against():
    shown = decoded(overlay_uri(torch.rand(7, 16, 16), halves(-2, 1), opacity=1.0, side=64))
    against, for_ = shown[30, 10], shown[30, 54]
    assert against[2] > against[0]
    assert for_[0] > for_[2]


def test_a_map_without_a_sign_is_brightest_at_its_largest():
    shown = decoded(overlay_uri(torch.rand(7, 16, 16), halves(0, 3), opacity=1.0, side=64))
    assert shown[30, 10].sum() < 0.1
    assert shown[30, 54].sum() > 2


def test_opacity_mixes_the_map_with_the_picture():
    image = halves(0, 1)[None]
    bare = decoded(overlay_uri(image, halves(0, 3), opacity=0.0, side=64))
    np.testing.assert_allclose(bare, decoded(picture_uri(image, side=64)), atol=0.02)


def test_a_map_is_scaled_by_its_largest_size_and_zeros_stay():
    np.testing.assert_allclose(scaled(np.array([-4.0, 2.0])), [-1, 0.5])
    np.testing.assert_array_equal(scaled(np.zeros(3)), np.zeros(3))
