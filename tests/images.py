"""Reading back what figures and cards draw."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

SVG = "{http://www.w3.org/2000/svg}"
ADDRESS = re.compile(r'<img alt="([^"]*)" [^>]*src="data:image/svg\+xml;base64,([^"]+)">')


class Drawing:
    """The SVG in a piece of HTML: its text, its styles, the pictures in it, its size in inches."""

    def __init__(self, page: str):
        ((self.alt, encoded),) = ADDRESS.findall(page)
        self.source = base64.b64decode(encoded).decode()
        self.root = ElementTree.fromstring(self.source)
        self.width, self.height = (
            float(self.root.get(side).removesuffix("pt")) / 72 for side in ("width", "height")
        )
        self.texts = ["".join(text.itertext()) for text in self.root.iter(f"{SVG}text")]
        light, self.dark = self.root.find(f"{SVG}style").text.split("@media")
        self.styles = dict(re.findall(r"([\w.]+)\{([^}]*)\}", light))

    def count(self, colour: str) -> int:
        """How many elements are drawn in a colour."""
        classes = {k[1:] for k, style in self.styles.items() if colour.lower() in style.lower()}
        return sum(element.get("class") in classes for element in self.root.iter())

    def pictures(self) -> list[Image.Image]:
        """The pictures in it, in order."""
        found = []
        for image in self.root.iter(f"{SVG}image"):
            encoded = image.get("href").partition("base64,")[2]
            found.append(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
        return found


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.1, "contrast ratio")."""

    def luminance(colour: str) -> float:
        srgb = np.array(to_rgb(colour))
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)
