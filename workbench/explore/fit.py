"""Keeps plotly figures as wide as the room they have."""

import anywidget


class FitFigures(anywidget.AnyWidget):
    """An invisible strip that tells plotly when its width changes.

    A ``FigureWidget`` is drawn before it is in the page, 700 pixels wide, and then listens to the window
    alone: not to a side bar that opens, nor to the cell it is put into.
    """

    _esm = """
    function render({ el }) {
      const observer = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
      el.style.width = "100%";
      observer.observe(el);
      return () => observer.disconnect();
    }
    export default { render };
    """
