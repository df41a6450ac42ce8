"use strict";

function offerCode() {
  const folds = [...document.querySelectorAll("details.code")];
  const button = document.getElementById("show-code");
  button.hidden = folds.length === 0;
  button.addEventListener("click", () => {
    const open = folds.some((fold) => !fold.open);
    folds.forEach((fold) => (fold.open = open));
    button.textContent = open ? "Hide all code" : "Show all code";
  });
}

// Contents: a column beside the text where there is room, a fold above it elsewhere.
function listSections() {
  const headings = [...document.querySelectorAll("main :is(h2, h3)[id]")];
  if (headings.length < 3) return;
  const links = document.getElementById("sections");
  const taken = new Set();
  for (const heading of headings) {
    for (let again = 2, id = heading.id; taken.has(heading.id); again += 1) heading.id = `${id}-${again}`;
    taken.add(heading.id);
    const link = document.createElement("a");
    link.href = `#${encodeURIComponent(heading.id)}`;
    link.className = heading.localName;
    const words = [...heading.childNodes].filter((node) => node.className !== "anchor-link");
    link.append(...words.map((node) => node.cloneNode(true)));
    links.append(link);
  }
  const fold = links.closest("details");
  fold.hidden = false;
  const wide = window.matchMedia("(min-width: 86rem)");
  const unfold = () => (fold.open = wide.matches);
  wide.addEventListener("change", unfold);
  unfold();
}

// The clipboard needs a secure page in some browsers; then the line is selected, ready to be copied by hand.
function offerCopy() {
  const button = document.getElementById("copy-command");
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const command = document.getElementById("command");
    window.getSelection().selectAllChildren(command);
    let copied = document.execCommand("copy");
    try {
      await navigator.clipboard.writeText(command.textContent);
      copied = true;
    } catch {
      // as above
    }
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

// A picture fills the window, or stands in its own size if that is more; a click or Escape closes it.
function offerZoom() {
  const dialog = document.getElementById("zoomed");
  const large = new Image();
  for (const image of document.querySelectorAll(".jp-RenderedImage img, .jp-RenderedMarkdown img")) {
    if (image.closest("a")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "zoom";
    button.setAttribute("aria-label", `Enlarge: ${image.alt || "figure"}`);
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => {
      const fit = Math.min((innerWidth * 0.96) / image.naturalWidth, (innerHeight * 0.92) / image.naturalHeight);
      large.src = image.src;
      large.alt = image.alt;
      large.width = image.naturalWidth * Math.max(fit, 1);
      dialog.prepend(large);
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => large.remove());
}

offerCode();
listSections();
offerCopy();
offerZoom();
