// Marks the chosen pixel, and lights the maps whose values share its mean: at once, while the server computes the numbers. It
// runs once for each time that the tab is opened; `props` and `trigger` are Gradio's. What is chosen lies in Gradio's own
// components; this draws it, and tells of clicks and keys.
const figure = () => document.querySelector("#explorer-maps .explorer");
const cells = (grid) => [...grid.querySelectorAll(".maps-grid .map")];
const clamp = (number, most) => Math.min(Math.max(number, 0), most - 1);
let chosen = {photo: 0, channel: 0, row: 0, column: 0};
let norm = null;

const shares = (axes, cell, group) =>
  (axes.includes("N") || Number(cell.dataset.photo) === chosen.photo) &&
  (axes.includes("C") || Number(cell.dataset.channel) === chosen.channel ||
    (axes.includes("C/G") && Math.floor(cell.dataset.channel / group) === Math.floor(chosen.channel / group)));

const light = (key) => {
  const grid = figure();
  const lit = grid && JSON.parse(grid.dataset.norms)[key];
  if (!lit) return;
  grid.style.setProperty("--variant", lit.colour);
  for (const cell of cells(grid)) {
    const count = lit.axes.filter((axes) => shares(axes, cell, Number(grid.dataset.group))).length;
    cell.classList.toggle("lit", count > 0);
    cell.classList.toggle("lit-twice", count > 1);
  }
};

const place = (parent, {width, height}) => {
  const marker = Object.assign(document.createElement("span"), {className: "marker"});
  Object.assign(marker.style, {
    left: `${(100 * chosen.column) / width}%`, top: `${(100 * chosen.row) / height}%`,
    width: `${100 / width}%`, height: `${100 / height}%`,
  });
  parent.append(marker);
};

const mark = () => {
  const grid = figure();
  if (!grid) return;
  const zoom = grid.querySelector(".zoom .map");
  grid.querySelectorAll(".marker").forEach((marker) => marker.remove());
  const cell = cells(grid).find(({dataset}) => Number(dataset.photo) === chosen.photo && Number(dataset.channel) === chosen.channel);
  for (const other of cells(grid)) other.classList.toggle("chosen", other === cell);
  if (cell) {
    place(cell, grid.dataset);
    place(zoom, grid.dataset);
    zoom.querySelector("img").src = cell.querySelector("img").src;
    grid.querySelector("figcaption").textContent = `Photo ${chosen.photo + 1}, channel ${chosen.channel + 1}`;
  }
  light(norm);
};

// From Gradio's components, which count from 1.
document.addEventListener("value-chosen", ({detail: [photo, channel, row, column, key]}) => {
  if ([photo, channel, row, column].some((number) => !Number.isInteger(number))) return;
  chosen = {photo: photo - 1, channel: channel - 1, row: row - 1, column: column - 1};
  norm = key;
  mark();
});

const choose = (change) => {
  const {photos, first, last, height, width} = figure().dataset;
  const asked = {...chosen, ...change};
  chosen = {
    photo: clamp(asked.photo, photos), row: clamp(asked.row, height), column: clamp(asked.column, width),
    channel: Math.max(Number(first), clamp(asked.channel, Number(last) + 1)),
  };
  mark();
  props.value = {photo: chosen.photo + 1, channel: chosen.channel + 1, row: chosen.row + 1, column: chosen.column + 1};
  trigger("select");
};

const hears = (event, where) => element.isConnected && event.target.closest?.(where);
document.addEventListener("click", (event) => {
  const map = hears(event, "#explorer-maps .map");
  if (!map) return;
  const box = map.getBoundingClientRect(), {width, height} = figure().dataset;
  choose({
    row: Math.floor(((event.clientY - box.top) / box.height) * height),
    column: Math.floor(((event.clientX - box.left) / box.width) * width),
    ...(map.dataset.photo && {photo: Number(map.dataset.photo), channel: Number(map.dataset.channel)}),
  });
});
const STEPS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
document.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step || !hears(event, "#explorer-maps .maps-grid") || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  choose(event.shiftKey
    ? {photo: chosen.photo + step[0], channel: chosen.channel + step[1]}
    : {row: chosen.row + step[0], column: chosen.column + step[1]});
});
// The cubes are the key to the figure.
document.addEventListener("pointerover", (event) => {
  const cube = hears(event, "#cubes figure");
  if (cube) light(cube.dataset.norm);
  else if (event.relatedTarget?.closest?.("#cubes figure")) light(norm);
});
