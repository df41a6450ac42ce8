"""A fold that holds code, and a button that copies it to the reader's clipboard."""

import anywidget
import traitlets


class CodeFold(anywidget.AnyWidget):
    """A fold titled ``As code`` for the text in ``text``.

    Clipboards are the browser's: a kernel cannot reach them, so this is a script of its own.
    """

    text = traitlets.Unicode().tag(sync=True)

    _css = """
    .wb-fold { margin: 2px; }
    .wb-fold summary { cursor: pointer; line-height: 28px; }
    .wb-fold pre { white-space: pre; overflow-x: auto; }
    """

    _esm = """
    function render({ model, el }) {
      const fold = document.createElement("details");
      fold.className = "wb-fold";
      const title = document.createElement("summary");
      title.textContent = "As code";
      const code = document.createElement("pre");
      const button = document.createElement("button");
      button.className = "jupyter-button widget-button wb-copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(model.get("text"));
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      const show = () => { code.textContent = model.get("text"); };
      model.on("change:text", show);
      show();
      fold.append(title, code, button);
      el.append(fold);
    }
    export default { render };
    """
