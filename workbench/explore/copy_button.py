"""A button that copies a text to the reader's clipboard."""

import anywidget
import traitlets


class CopyButton(anywidget.AnyWidget):
    """A button labelled ``Copy`` for the text in ``text``.

    Clipboards are the browser's: a kernel cannot reach them, so this is a script of its own.
    """

    text = traitlets.Unicode().tag(sync=True)

    _esm = """
    function render({ model, el }) {
      const button = document.createElement("button");
      button.className = "jupyter-button widget-button wb-copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(model.get("text"));
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      el.appendChild(button);
    }
    export default { render };
    """
