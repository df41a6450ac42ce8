"use strict";

// A run is shown if it meets every filter; each word of the text must occur among its parameters.
function filterRuns() {
  const form = document.querySelector(".filters");
  const rows = [...document.querySelectorAll(".runs tbody tr")];
  const count = document.getElementById("count");
  form.hidden = false;

  function show() {
    const asked = Object.fromEntries(new FormData(form));
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const { notebook, status, date, text } = row.dataset;
      const meets =
        (!asked.notebook || notebook === asked.notebook) &&
        (!asked.status || status === asked.status) &&
        (!asked.from || date >= asked.from) &&
        (!asked.to || date <= asked.to) &&
        words.every((word) => text.toLowerCase().includes(word));
      row.hidden = !meets;
      shown += meets;
    }
    count.textContent = shown === rows.length ? `${rows.length} runs` : `${shown} of ${rows.length} runs`;
  }

  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  show(); // a browser may keep what was typed before a reload
}

filterRuns();
document.documentElement.dataset.figures = "ready";
