"use strict";
// Sorts a table's rows within each of its groups; the page reads the same without it.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.querySelectorAll("thead th")];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") !== "descending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      for (const body of table.tBodies) sortRows(body, column, descending ? -1 : 1);
    });
  });
}

function sortRows(body, column, sign) {
  const rows = [...body.rows].filter((row) => !row.classList.contains("heading"));
  const number = (row) => parseFloat(row.cells[column].dataset.value);
  rows.sort((a, b) => {
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) {
      return sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent);
    }
    // What has no figure stays last either way.
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return sign * (x - y);
  });
  body.append(...rows);
}
