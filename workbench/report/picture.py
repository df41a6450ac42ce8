"""The picture of a run: the first that its notebook shows, as large as there is room for."""

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

_FIRST_PICTURE = re.compile(rb'"image/png":\s*"([A-Za-z0-9+/=\\n]+)"')
_LARGEST = (1000, 800)  # pixels of a small PNG
_COLORS = 64  # enough for plots; a third of the bytes of full colour
_BYTES = 40_000


def first_picture(notebook: Path) -> Image.Image | None:
    """Return the first picture of a notebook, on white; None if there is none to be read."""
    try:
        found = _FIRST_PICTURE.search(notebook.read_bytes())
        if found is None:
            return None
        picture = Image.open(io.BytesIO(base64.b64decode(found[1].replace(rb"\n", b""))))
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(picture, mask=picture.getchannel("A") if "A" in picture.getbands() else None)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return ground


def small_png(notebook: Path) -> bytes | None:
    """Return the first picture of a notebook as a PNG of at most 40 kB; None if there is none to be read."""
    picture = first_picture(notebook)
    if picture is None:
        return None
    size = _LARGEST
    while True:
        picture.thumbnail(size)
        buffer = io.BytesIO()
        picture.quantize(_COLORS).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= _BYTES:
            return buffer.getvalue()
        size = (picture.width * 3 // 4, picture.height * 3 // 4)


def address(content: bytes, form: str) -> str:
    """Return a picture as an address that a page carries in itself; ``form`` is e.g. ``"png"``."""
    return f"data:image/{form};base64,{base64.b64encode(content).decode()}"


def addresses(pngs: Mapping[str, bytes | None]) -> dict[str, str | None]:
    """Return the address of each PNG by its caption, None for None; nothing if all are None."""
    if not any(pngs.values()):
        return {}
    return {caption: address(png, "png") if png else None for caption, png in pngs.items()}
