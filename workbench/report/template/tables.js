"use strict";

// A click on a header sorts: up, down, and back to the order of the page.
function sortable(table) {
  const head = table.tHead?.rows;
  const body = table.tBodies[0];
  if (head?.length !== 1 || table.tBodies.length !== 1 || body.rows.length < 2) return;
  if ([...table.rows].some((row) => [...row.cells].some((cell) => cell.colSpan > 1 || cell.rowSpan > 1))) return;
  const original = [...body.rows];
  const headers = [...head[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    if (!header.textContent.trim()) button.setAttribute("aria-label", "row");
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[header.getAttribute("aria-sort")];
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      if (next !== null) header.setAttribute("aria-sort", next ?? "ascending");
      body.append(...(next === null ? original : sorted(original, column, next === "descending")));
    });
  });
}

// Numbers by size if all are numbers, else text with the numbers in it by size; what is empty stands last.
function sorted(rows, column, down) {
  const text = new Map(rows.map((row) => [row, row.cells[column]?.textContent.trim() ?? ""]));
  const number = new Map(rows.map((row) => [row, Number(text.get(row).replace("\u2212", "-"))]));
  const empty = (row) => ["", "nan", "NaN", "None"].includes(text.get(row));
  const filled = rows.filter((row) => !empty(row));
  const numeric = filled.every((row) => !Number.isNaN(number.get(row)));
  const order = numeric
    ? (a, b) => number.get(a) - number.get(b)
    : (a, b) => text.get(a).localeCompare(text.get(b), undefined, { numeric: true });
  filled.sort(down ? (a, b) => order(b, a) : order);
  return [...filled, ...rows.filter(empty)];
}

document.querySelectorAll("main table").forEach(sortable);
