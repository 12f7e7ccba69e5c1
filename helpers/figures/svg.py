"""A figure as a small SVG that follows the page into the dark.

Black is ink and white is paper: both are turned round where the reader prefers a dark page. All
styles are gathered in one sheet, since most elements share theirs; numbers keep two decimals.
"""

import base64
import io
import re
from html import escape

from matplotlib.figure import Figure
from PIL import Image

LIGHT = {"#000000": "#1F2328", "#ffffff": "#FFFFFF"}  # ink and paper
DARK = {"#000000": "#E6EDF3", "#ffffff": "#14171A"}
FONTS = "'DejaVu Sans',Verdana,sans-serif"  # of the same widths as the layout was made with


def svg(figure: Figure) -> str:
    """The same data give the same text: no date, no random names, text as text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawn = re.sub("[\0-\x08\v\f\x0e-\x1f]", "\N{REPLACEMENT CHARACTER}", buffer.getvalue())
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r">\s+<", "><", drawn)
    drawn = re.sub(r"<[^!?][^>]*>", _shortened, drawn)
    drawn = _unwrapped(drawn)
    drawn = _renamed(drawn)
    drawn, styles = _gathered(drawn)
    head, body = drawn.split(">", 1)
    return f'{head}>{_sheet(styles)}<rect class="page" width="100%" height="100%" rx="4"/>{body}'


def image(drawing: str, alt: str) -> str:
    """An SVG as an HTML image with its alternative text.

    An SVG in an address passes sanitisers, and no style of the page reaches into it.
    """
    address = f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"
    return f'<img alt="{escape(alt)}" style="max-width:100%" src="{address}">'


def _shortened(tag: re.Match) -> str:
    """A tag without names nobody refers to, superfluous digits and fonts that the sheet names."""
    text = re.sub(r' id="[A-Za-z.]+\d*[A-Za-z]*_\d+"', "", tag[0])
    text = text.replace("xlink:href", "href").replace(' xmlns:href="', ' xmlns:xlink="')
    text = text.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    text = re.sub(r"font-family: ([^;\"]*)(; )?", _font, text)
    text = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", text)
    text = re.sub(r"\s+", " ", text)
    if "base64," in text:
        return re.sub(r"(?<=base64,)[^\"]+", _smaller, text)
    return re.sub(r"-?\d+\.\d{3,}", _rounded, text)


def _font(family: re.Match) -> str:
    """Nothing where the sheet says it."""
    mono = "mono" in family[1].lower()
    return f"font-family: monospace{family[2] or ''}" if mono else ""


def _smaller(picture: re.Match) -> str:
    """A PNG of the same pixels, grey or with a palette where that is shorter."""
    pixels = Image.open(io.BytesIO(base64.b64decode(picture[0])))
    ways: list[Image.Image] = [pixels]
    if pixels.mode != "RGBA" or pixels.getchannel("A").getextrema() == (255, 255):
        pixels = pixels.convert("RGB")
        ways.append(pixels)
        if colours := pixels.getcolors(256):
            red, green, blue = pixels.split()
            grey = red == green == blue
            ways.append(pixels.convert("L") if grey else pixels.quantize(len(colours)))
    return min(map(_written, ways), key=len)


def _written(pixels: Image.Image) -> str:
    buffer = io.BytesIO()
    pixels.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _rounded(number: re.Match) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _unwrapped(drawn: str) -> str:
    """Without groups that hold nothing, or say nothing of the one element they hold."""
    before = None
    while before != drawn:
        before = drawn
        drawn = re.sub(r"<g>(<(?:path|use|text)\b[^>]*/>)?</g>", r"\1", drawn)
        drawn = re.sub(r"<defs></defs>|<defs/>|<g/>", "", drawn)
    return drawn


def _renamed(drawn: str) -> str:
    """With short names for what is referred to."""
    names: dict[str, str] = {}

    def short(name: re.Match) -> str:
        return name[1] + names.setdefault(name[2], f"n{len(names)}")

    return re.sub(r'(<[^>]*?(?: id="|"#|url\(#))([\w-]+)', short, drawn)


def _gathered(drawn: str) -> tuple[str, dict[str, str]]:
    """Every `style` as a class; the classes by style."""
    names: dict[str, str] = {}

    def named(style: re.Match) -> str:
        return f' class="{names.setdefault(style[1], f"k{len(names)}")}"'

    return re.sub(r' style="([^"]*)"', named, drawn), names


def _sheet(styles: dict[str, str]) -> str:
    """The style sheet: ink and paper for a light page, then for a dark one."""
    rules = {f".{name}": style for style, name in styles.items()}
    rules = {"svg": "fill: #000000", ".page": "fill: #ffffff"} | rules  # black is not written out
    light = "".join(f"{where}{{{_recoloured(what, LIGHT)}}}" for where, what in rules.items())
    dark = ""
    for where, what in rules.items():
        changed = [part for part in what.split(";") if any(colour in part for colour in DARK)]
        dark += f"{where}{{{_recoloured(';'.join(changed), DARK)}}}" if changed else ""
    shared = f"svg{{font-family:{FONTS}}}image{{image-rendering:pixelated}}"
    shared += "path,use{stroke-linejoin:round;stroke-linecap:butt}"
    return f"<style>{shared}{light}@media(prefers-color-scheme:dark){{{dark}}}</style>"


def _recoloured(style: str, colours: dict[str, str]) -> str:
    for name, colour in colours.items():
        style = style.replace(name, colour)
    return style.replace("; ", ";").replace(": ", ":").strip("; ")
