"""How the report's figures look: inline SVG that takes its colours from the page, in daylight, dark and print.

Drawn with matplotlib's object interface (no pyplot, no global figure). The colours below are placeholders,
replaced by CSS variables in the SVG. What is drawn is decided in `figures.py` and its neighbours.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Not plain black: matplotlib leaves black out of the SVG, and then the page could not change it.
INK, ACCENT, MUTED = "#070809", "#010203", "#040506"
_PAGE_COLOURS = {INK: "currentColor", ACCENT: "var(--accent)", MUTED: "var(--muted)"}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be selected, and takes the page's font and colour
    "text.parse_math": False,  # a label with dollar signs is a label
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def panels(n: int) -> tuple[Figure, list[Axes]]:
    """A grid of panels with one y axis, at most three across."""
    across = min(n, 3)
    down = math.ceil(n / across)
    figure = Figure(figsize=(2.6 * across + 0.6, 2.3 * down + 0.2), layout="constrained")
    first: Axes | None = None
    grid = []
    for i in range(n):
        axes = figure.add_subplot(down, across, i + 1, sharey=first)
        first = first or axes
        axes.grid(axis="y", color=MUTED, alpha=0.35, linewidth=0.6)
        axes.tick_params(labelleft=i % across == 0)
        grid.append(axes)
    return figure, grid


def clip(text: str, length: int) -> str:
    """The text, cut with an ellipsis when it is longer."""
    return text if len(text) <= length else text[: length - 1] + "…"


def svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element without fixed size, colours or ids that another figure could share."""
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # The text is drawn by whoever shows the page, with a font that has it.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        canvas.print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for placeholder, colour in _PAGE_COLOURS.items():
        text = text.replace(placeholder, colour)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", text, count=1)
    text = re.sub(r'<svg ([^>]*?)width="([\d.]+)pt"', r'<svg \1style="min-width:\2px"', text, count=1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)
