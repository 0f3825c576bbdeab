// `element` is what Gradio gives to such a script: the component's own part of the page. Its rows come and go; it stays.
element.addEventListener("click", (event) => {
  const button = event.target.closest("thead button");
  if (!button) return;
  const heading = button.closest("th"), table = button.closest("table"), column = heading.cellIndex;
  const direction = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const compare = (a, b) => a === b ? 0 : isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
  const value = (row) => row.cells[column].dataset.value;
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => direction * compare(value(a), value(b))));
});
