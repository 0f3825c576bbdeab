// The link to the view: what was asked for, the button that copies it, the address bar. `element`, `props` and `trigger` are
// Gradio's. Tabs are found by their position: on the screen they may be translated by the browser. They may come later than this
// element does, and their first clicks may not be heard yet.
const asked = new URLSearchParams(location.search), waits = new Set();
const wanted = FORMER[asked.get("tab")] ?? asked.get("tab");
const tabs = () => [...document.querySelectorAll('[role="tab"]')];
if (TABS.indexOf(wanted) > 0) {
  waits.add("tab");
  const timer = setInterval(() => {
    const tab = tabs()[TABS.indexOf(wanted)];
    if (tab?.getAttribute("aria-selected") === "true") waits.delete("tab");
    if (waits.has("tab")) tab?.click();
    else clearInterval(timer);
  }, 30);
}
document.addEventListener("click", (event) => {
  if (event.isTrusted && event.target.closest?.('[role="tab"]')) waits.delete("tab");
  const to = event.target.closest?.("a[data-tab]");
  if (!to) return;
  event.preventDefault();
  tabs()[TABS.indexOf(to.dataset.tab)]?.click();
  window.scrollTo({top: 0});
}, true);

// What is said stays until the view is another one, whatever is written meanwhile.
const said = () => element.querySelector("[role=status]");
const shownView = () => [location.href, document.body.dataset.ownPhoto, document.body.dataset.ownPhotos].join();
element.addEventListener("click", async (event) => {
  if (!event.target.closest("button")) return;
  const isOwn = "ownPhoto" in document.body.dataset || "ownPhotos" in document.body.dataset;
  let words = `Copied. Not in the link: ${isOwn ? "your own photos, for which it opens examples; " : ""}what is unfolded, sorted or hidden.`;
  try { await navigator.clipboard.writeText(location.href); }
  catch { words = "The browser does not allow that: copy it from the address bar."; }
  Object.assign(said(), {textContent: words}).dataset.view = shownView();
});

// Gradio tells of its own first tab as well: a view as it was at first is written only over another one.
const view = {...FIRST, ...Object.fromEntries(KEYS.slice(2).map((key) => [key, asked.get(key) ?? ""]))};
window.writeLink = (change, {tab, isOpened} = {}) => {
  if (isOpened) waits.delete("view");
  // Engines tell late of a tab that another has replaced meanwhile.
  if (tab && tabs()[TABS.indexOf(tab)]?.getAttribute("aria-selected") !== "true") return;
  Object.assign(view, change, tab && {tab});
  const shown = new URLSearchParams(location.search);
  const isFirst = Object.entries(FIRST).every(([key, value]) => view[key] === value);
  if (!waits.size && (!isFirst || Object.keys(view).some((key) => shown.has(key)))) {
    for (const [key, value] of Object.entries(view)) if (value) shown.set(key, value); else shown.delete(key);
    const words = shown.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
    history.replaceState(history.state, "", `${location.pathname}?${words}${location.hash}`);
  }
  if (said().dataset.view !== shownView()) said().textContent = "";
};

// Only a page that was opened by a link to another view asks the server.
if (KEYS.some((key) => asked.has(key) && asked.get(key) !== FIRST[key])) {
  waits.add("view");
  props.value = Object.fromEntries(KEYS.map((key) => [key, asked.get(key)]));
  trigger("select");
}
