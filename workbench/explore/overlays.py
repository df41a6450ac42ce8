"""Pictures and maps over them, as data that a page can hold: small JPEGs in base64."""

import base64
import io

import matplotlib
import numpy as np
from PIL import Image
from torch import Tensor

from workbench.saliency.pictures import as_picture

_SIDE = 224  # pixels, at most
_QUALITY = 80


def picture_uri(image: Tensor, side: int = _SIDE) -> str:
    """Return an input (C, H, W) as a JPEG; gray where it is no picture."""
    return _uri(_rgb(image), side)


def overlay_uri(image: Tensor, values: Tensor, opacity: float = 0.6, side: int = _SIDE) -> str:
    """Return an input (C, H, W) with a map (H, W) over it as a JPEG.

    Colours are those of :meth:`SaliencyMap.plot`: red and blue where the map has a sign.
    """
    shares = scaled(values.cpu().numpy())
    signed = shares.min() < 0
    colors = matplotlib.colormaps["RdBu_r" if signed else "inferno"]((shares + 1) / 2 if signed else shares)
    return _uri((1 - opacity) * _rgb(image) + opacity * colors[..., :3], side)


def scaled(values: np.ndarray) -> np.ndarray:
    """Return a map divided by its largest size, so that 0 stays 0."""
    return values / (float(np.abs(values).max()) or 1.0)


def _rgb(image: Tensor) -> np.ndarray:
    """An input as colours (h, w, 3) from 0 to 1."""
    picture = as_picture(image)
    if picture is None:
        picture = np.full(image.shape[-2:], 0.5)
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)


def _uri(colors: np.ndarray, side: int) -> str:
    image = Image.fromarray((255 * colors).round().astype(np.uint8))
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BILINEAR).save(
        buffer, "JPEG", quality=_QUALITY
    )
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
