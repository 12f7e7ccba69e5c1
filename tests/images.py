"""Reading back the pictures that figures and cards draw."""

import base64
import io

from PIL import Image


def picture(base64_png: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(base64_png)))
    image.load()
    return image


def colours_of(image: Image.Image) -> set:
    return set(image.convert("RGB").get_flattened_data())
