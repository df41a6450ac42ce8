"""Images against Pillow's own arithmetic, and files of every kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.problems.imagenet_classes import class_names
from workbench.problems.images import (
    DEVIATION,
    MEAN,
    denormalise,
    list_images,
    load_image,
    load_images,
    normalise,
    object_boxes,
)

# Pillow rounds to whole numbers of 255 after each of its two passes, by half a step at most.
ROUNDING = 1 / 255 + 1e-6


def picture(height: int = 300, width: int = 451) -> np.ndarray:
    """A smooth colour picture whose corners differ."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / 17) * np.cos(columns / 23), rows / height * 2 - 1, columns / width * 2 - 1]
    return (127.5 + 127.5 * np.stack(waves, -1)).round().astype(np.uint8)


def as_torchvision_does(image: Image.Image) -> torch.Tensor:
    """Resize(256), CenterCrop(224) and ToTensor of torchvision on a Pillow image, written with Pillow."""
    width, height = image.size
    shorter = min(width, height)
    image = image.resize((int(256 * width / shorter), int(256 * height / shorter)), Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2.0) for side in image.size)
    cropped = image.crop((left, top, left + 224, top + 224))
    return torch.from_numpy(np.asarray(cropped).copy()).permute(2, 0, 1) / 255


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (256, 256), (224, 225), (100, 130), (700, 901)])
def test_resizing_and_cropping_are_torchvisions(tmp_path: Path, size: tuple[int, int]) -> None:
    image = Image.fromarray(picture(*size))
    image.save(tmp_path / "wave.png")
    found = denormalise(load_image(tmp_path / "wave.png"))
    assert found.shape == (3, 224, 224)
    assert (found - as_torchvision_does(image)).abs().max() <= ROUNDING


@pytest.mark.parametrize("name", list_images())
def test_built_in_images_are_resized_as_by_torchvision(name: str) -> None:
    import skimage
    import sklearn

    places = [
        *(Path(skimage.__file__).parent / "data").glob(f"{name}.*"),
        *(Path(sklearn.__file__).parent / "datasets" / "images").glob(f"{name}.*"),
    ]
    (file,) = places
    image = Image.open(file)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    found = denormalise(load_image(name))
    assert (found - as_torchvision_does(image.convert("RGB"))).abs().max() <= ROUNDING


def test_antialiasing_leaves_nothing_of_a_fine_grating(tmp_path: Path) -> None:
    grating = np.zeros((1024, 1024, 3), np.uint8)
    grating[:, ::2] = 255
    Image.fromarray(grating).save(tmp_path / "grating.png")
    pixels = denormalise(load_image(tmp_path / "grating.png"))
    torch.testing.assert_close(pixels, torch.full_like(pixels, 0.5), atol=1e-3, rtol=0)


def test_normalising_and_back() -> None:
    pixels = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    inputs = normalise(pixels)
    for channel in range(3):
        expected = (pixels[:, channel] - MEAN[channel]) / DEVIATION[channel]
        torch.testing.assert_close(inputs[:, channel], expected)
    torch.testing.assert_close(denormalise(inputs), pixels)
    assert denormalise(inputs + 100).max() == 1


def test_the_callers_default_dtype_does_not_matter() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert load_image("chelsea").dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    """Orientation 6: the camera was turned, so the picture is to be turned clockwise by a quarter."""
    upright = Image.fromarray(picture(300, 300))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    torch.testing.assert_close(load_image(tmp_path / "turned.png"), load_image(tmp_path / "upright.png"))


def test_grey_transparent_and_deep_files(tmp_path: Path) -> None:
    grey = picture()[:, :, 1]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "colour.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    expected = load_image(tmp_path / "colour.png")
    for name in ("grey", "deep", "palette"):
        torch.testing.assert_close(load_image(tmp_path / f"{name}.png"), expected)

    alpha = np.zeros_like(grey)
    alpha[:150] = 255
    Image.fromarray(np.dstack([picture(), alpha])).save(tmp_path / "transparent.png")
    on_white = np.where(alpha[:, :, None] > 0, picture(), 255)
    Image.fromarray(on_white).save(tmp_path / "white.png")
    torch.testing.assert_close(load_image(tmp_path / "transparent.png"), load_image(tmp_path / "white.png"))
    Image.fromarray(np.dstack([grey, alpha])).save(tmp_path / "grey_transparent.png")
    assert denormalise(load_image(tmp_path / "grey_transparent.png"))[:, -1].min() > 0.999


def test_a_photograph_as_jpeg(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "wave.jpg", quality=95)
    Image.fromarray(picture()).save(tmp_path / "wave.png")
    difference = load_image(tmp_path / "wave.jpg") - load_image(tmp_path / "wave.png")
    assert 0 < difference.abs().mean() < 0.05


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "a.JPG", "c.png")):
        Image.fromarray(np.full((300, 300, 3), 60 * number, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "inner").mkdir()
    found = load_images(tmp_path)
    assert found.names == ("a.JPG", "b.png", "c.png")
    assert denormalise(found.inputs)[:, 0, 0, 0].mul(255).round().tolist() == [60, 0, 120]
    mixed = load_images(["chelsea", str(tmp_path / "c.png"), tmp_path])
    assert mixed.names == ("chelsea", "c.png", "a.JPG", "b.png", "c.png")
    assert torch.equal(mixed.inputs[0], load_image("chelsea"))


def test_all_built_in_images() -> None:
    found = load_images()
    assert found.names == list_images()
    assert found.inputs.shape == (10, 3, 224, 224)
    assert len({image.numpy().tobytes() for image in found.inputs}) == 10


def test_what_is_not_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"image 'chelsae' is neither built in nor a file; did you mean 'chelsea'"
    ):
        load_image("chelsae")
    Image.fromarray(picture()).save(tmp_path / "wave.png")
    with pytest.raises(ValueError, match=r"wav\.png' is neither .* did you mean 'wave\.png'"):
        load_image(tmp_path / "wav.png")
    (tmp_path / "text.jpg").write_text("this is text")
    with pytest.raises(ValueError, match=r"text\.jpg is not a readable image: cannot identify"):
        load_image(tmp_path / "text.jpg")
    (tmp_path / "half.png").write_bytes((tmp_path / "wave.png").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"half\.png is not a readable image"):
        load_image(tmp_path / "half.png")
    Image.fromarray(np.ones((30, 30), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match="pixels of 32 bits"):
        load_image(tmp_path / "float.tif")
    with pytest.raises(ValueError, match="is a folder, not an image"):
        load_image(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no image in the folder"):
        load_images(tmp_path / "empty")
    with pytest.raises(ValueError, match="there is no image in an empty list"):
        load_images([])


def test_boxes_are_of_built_in_images_and_lie_in_the_crop() -> None:
    boxes = object_boxes()
    assert len({box.image for box in boxes}) == len(boxes) == 7
    for box in boxes:
        left, top, right, bottom = box.box
        assert 0 <= left < right <= 224
        assert 0 <= top < bottom <= 224
        assert box.image in list_images()
        assert box.class_name in class_names()
