// `element`, `props` and `trigger` are what Gradio gives to such a script. Only a page that was opened by a link asks the
// server. Tabs are found by their position: on the screen they may be translated by the browser. They may come later than this
// element does, and their first clicks may not be heard yet.
if (link.waits.has("tab")) {
  const timer = setInterval(() => {
    const tab = tabs()[TABS.indexOf(link.tab)];
    if (tab?.getAttribute("aria-selected") === "true") link.waits.delete("tab");
    if (link.waits.has("tab")) tab?.click();
    else clearInterval(timer);
  }, 30);
  document.addEventListener("click", (event) => {
    if (event.isTrusted && event.target.closest?.('[role="tab"]')) link.waits.delete("tab");
  }, true);
}
document.addEventListener("click", (event) => {
  const to = event.target.closest?.("a[data-tab]");
  if (!to) return;
  event.preventDefault();
  tabs()[TABS.indexOf(to.dataset.tab)]?.click();
  window.scrollTo({top: 0});
});
if (link.waits.has("view")) {
  props.value = Object.fromEntries(KEYS.map((key) => [key, link.asked.get(key)]));
  trigger("select");
}
