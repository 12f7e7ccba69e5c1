"""Every figure of the course, in one style: colour-blind safe, light or dark, described.

`table` shows numbers under a caption. Each other function draws one figure, shows it with its alt
text and returns nothing. The alt text states the finding; it is stored with the picture and stands
in for it wherever pictures are not shown.
Drawings of what has a shape stand in a room of their own: `figures.drawings.lstm_cell()`.
"""

from helpers.figures import drawings
from helpers.figures.drawings import unrolled
from helpers.figures.pictures import bars, coloured_text, heatmap, matrices, pictures
from helpers.figures.plots import curves, descents, dots, rates
from helpers.figures.style import (
    ACCENT,
    COLOURS,
    GREY,
    INK,
    LINES,
    MARKERS,
    Look,
    blank,
    explore,
    looks,
    picture,
    show,
    strip,
    styled,
    table,
)
