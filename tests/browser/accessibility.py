"""What a screen reader and a keyboard find in a page."""

from playwright.sync_api import Locator, Page

# Like a browser, an explorer moves the focus on by Tab only; a page of many controls has no more than this.
TABS = 80


def focusable(page: Page, selector: str) -> list[tuple[str, str]]:
    """Role and accessible name of all that takes the focus inside an element, from Chromium's own tree."""
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    document = session.send("DOM.getDocument")["root"]["nodeId"]
    element = session.send("DOM.querySelector", {"nodeId": document, "selector": selector})["nodeId"]
    nodes = session.send("Accessibility.queryAXTree", {"nodeId": element})["nodes"]
    session.detach()
    return [
        (node["role"]["value"], node["name"]["value"].strip())
        for node in nodes
        if any(each["name"] == "focusable" and each["value"]["value"] for each in node.get("properties", []))
    ]


def tabbed(page: Page, inside: Locator) -> list[str]:
    """Names of the controls inside an element that Tab comes to, from the first on until it leaves."""
    first = inside.locator("input, select, textarea, button:not([disabled]), [tabindex='0']").first
    first.focus()
    names = []
    for _ in range(TABS):
        name = inside.evaluate(
            """(inside) => {
              const active = document.activeElement;
              if (!inside.contains(active)) return null;
              return active.ariaLabel || active.labels?.[0]?.textContent || active.textContent.trim();
            }"""
        )
        if name is None:
            break
        names.append(name)
        page.keyboard.press("Tab")
    return names
