"""Lets an explorer be used by keyboard and by a screen reader, where JupyterLab and ipywidgets do not."""

import anywidget


class Accessible(anywidget.AnyWidget):
    """An invisible part of a box of controls, which names its sliders and keeps keys for its controls.

    The handle and the number of an ipywidgets slider have no accessible name. A key without Ctrl, Alt or
    Meta is a command of JupyterLab unless it is typed into a text: an arrow would leave a menu for the next
    cell, and D pressed twice on a button would delete the explorer's. Escape and Shift+Enter are left to it.
    """

    _esm = """
    function name(root) {
      for (const part of root.querySelectorAll(":is(.noUi-handle, .widget-readout):not([aria-label])")) {
        const label = part.closest(".widget-inline-hbox")?.querySelector(".widget-label");
        if (!label) continue;
        part.setAttribute("aria-label", label.textContent);
        if (part.isContentEditable) part.setAttribute("role", "textbox");
      }
    }

    function keepKey(event) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Escape" || (event.key === "Enter" && event.shiftKey)) return;
      event.stopPropagation();
    }

    function render({ el }) {
      let root = null;
      const names = new MutationObserver(() => name(root));
      const attached = new ResizeObserver(() => {
        if (root || !el.parentElement) return;
        root = el.parentElement;
        root.addEventListener("keydown", keepKey);
        names.observe(root, { childList: true, subtree: true });
        name(root);
      });
      el.style.width = "100%";
      attached.observe(el);
      return () => {
        attached.disconnect();
        names.disconnect();
      };
    }
    export default { render };
    """
