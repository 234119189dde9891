"""Figures as SVG: text stays text, in any script, without a word on stderr."""

from __future__ import annotations

import warnings

import pytest

pytest.importorskip("matplotlib")

from results.report.drawing import STYLE, panels, svg


def test_a_label_that_the_drawing_font_lacks_is_text_and_no_warning() -> None:
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure, (axes,) = panels(1)
        axes.set_xlabel("滑坡")
        axes.plot([0, 1], [0, 1])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "滑坡" in svg(figure, "labels", "a line")
