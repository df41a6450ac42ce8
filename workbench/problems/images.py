"""Photographs as the inputs of an ImageNet network: built in, or your own files. Card: ``data/images.md``."""

import csv
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from workbench import paths
from workbench.choices import suggestion

SIZE = 224  # pixels of a side of the crop
SHORTER_SIDE = 256  # of the image that the crop is taken from
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Of ImageNet's training images, in [0, 1], by channel: red, green, blue.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_PHOTOGRAPHS = {
    Path(place).stem: (package, place)
    for package, place in (
        ("skimage", "data/chelsea.png"),
        ("skimage", "data/coffee.png"),
        ("skimage", "data/motorcycle_left.png"),
        ("skimage", "data/camera.png"),
        ("skimage", "data/rocket.jpg"),
        ("skimage", "data/astronaut.png"),
        ("skimage", "data/coins.png"),
        ("skimage", "data/horse.png"),
        ("sklearn", "datasets/images/china.jpg"),
        ("sklearn", "datasets/images/flower.jpg"),
    )
}


class Images(NamedTuple):
    """Images by name.

    Attributes
    ----------
    names : tuple of str
        A built-in name, or that of a file.
    inputs : Tensor (n, 3, 224, 224)
        Normalised, in float32.
    """

    names: tuple[str, ...]
    inputs: Tensor


@dataclass(frozen=True)
class ObjectBox:
    """A box drawn by hand around an object in a built-in image.

    Attributes
    ----------
    image : str
        Name of the image.
    class_name : str
        Of ImageNet.
    box : tuple of int
        Left, top, right, bottom in pixels of the 224 × 224 crop; right and bottom are the first outside.
    """

    image: str
    class_name: str
    box: tuple[int, int, int, int]


def list_images() -> tuple[str, ...]:
    """Return the names of the built-in images."""
    return tuple(_PHOTOGRAPHS)


def load_image(source: str | Path) -> Tensor:
    """Load one image as the input (3, 224, 224) of an ImageNet network.

    It is turned upright as its EXIF tag says, put on white where it is transparent, its channels repeated if
    it is grey, resized so that the shorter side has 256 pixels (bilinear, with antialiasing), cropped in the
    centre and normalised: what torchvision does before it evaluates the network.

    Parameters
    ----------
    source : str or Path
        A built-in name, see :func:`list_images`, or a file.

    Raises
    ------
    ValueError
        If there is no such name or file, or the file is not a readable image.
    """
    return normalise(_crop(_pixels(_read(_find(source)))))


def load_images(source: str | Path | Sequence[str | Path] | None = None) -> Images:
    """Load several images.

    Parameters
    ----------
    source : str, Path, or sequence of them, optional
        A built-in name, a file, a folder, whose images are taken in the order of their names (subfolders are
        left out), or several of these; by default all built-in images.

    Raises
    ------
    ValueError
        If there is no such name, file or folder, a file is not a readable image, or there is no image at all.
    """
    if source is None:
        source = list_images()
    sources = [source] if isinstance(source, str | Path) else list(source)
    files = [file for each in sources for file in _files(each)]
    if not files:
        raise ValueError("there is no image in an empty list: pass a built-in name, a file or a folder")
    names = tuple(file if file in _PHOTOGRAPHS else Path(file).name for file in map(str, files))
    return Images(names, torch.stack([load_image(file) for file in files]))


def normalise(images: Tensor) -> Tensor:
    """Turn pixels in [0, 1], (..., 3, h, w), into inputs of an ImageNet network."""
    mean, deviation = _statistics(images)
    return (images - mean) / deviation


def denormalise(inputs: Tensor) -> Tensor:
    """Turn inputs (..., 3, h, w) of an ImageNet network into pixels in [0, 1], to look at."""
    mean, deviation = _statistics(inputs)
    return (inputs * deviation + mean).clamp(0, 1)


def object_boxes() -> tuple[ObjectBox, ...]:
    """Return the boxes drawn by hand in the built-in images (data card: ``images.md``)."""
    with (paths.data() / "imagenet" / "boxes.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        ObjectBox(
            row["image"],
            row["class"],
            (int(row["left"]), int(row["top"]), int(row["right"]), int(row["bottom"])),
        )
        for row in rows
    )


def _files(source: str | Path) -> list[str | Path]:
    """The names or files that a source stands for."""
    folder = Path(source).expanduser()
    if source in _PHOTOGRAPHS or not folder.is_dir():
        return [source]
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise ValueError(f"there is no image in the folder {folder}: looked for {', '.join(SUFFIXES)}")
    return list(found)


def _find(source: str | Path) -> Path:
    if source in _PHOTOGRAPHS:
        package, place = _PHOTOGRAPHS[str(source)]
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        file = Path(spec.origin).parent / place
        if not file.is_file():
            raise ValueError(f"the image {source!r} is not in this version of {package}: there is no {file}")
        return file
    file = Path(source).expanduser()
    if file.is_dir():
        raise ValueError(f"{file} is a folder, not an image: load_images() takes folders")
    if not file.is_file():
        near = file.parent.iterdir() if file.parent.is_dir() else ()
        known = [*_PHOTOGRAPHS, *(path.name for path in near if path.suffix.lower() in SUFFIXES)]
        raise ValueError(
            f"image {str(source)!r} is neither built in nor a file{suggestion(file.name, known)}; built in "
            f"are {', '.join(_PHOTOGRAPHS)}"
        )
    return file


def _read(file: Path) -> Image.Image:
    """Read a file as an upright RGB image; only the first frame of several."""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
    except (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is not a readable image: {error}") from error
    if image.mode.startswith("I;16"):  # grey values up to 65535, which convert() would cut off at 255
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"{file} has pixels of 32 bits: save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255


def _crop(pixels: Tensor) -> Tensor:
    """Resize to a shorter side of 256 pixels and cut out the centre, rounding as torchvision does."""
    shorter = min(pixels.shape[1:])
    height, width = (SHORTER_SIDE * side // shorter for side in pixels.shape[1:])
    resized = F.interpolate(pixels[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
    top, left = (round((side - SIZE) / 2) for side in (height, width))
    return resized[:, top : top + SIZE, left : left + SIZE]


def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    return like.new_tensor(MEAN)[:, None, None], like.new_tensor(DEVIATION)[:, None, None]
