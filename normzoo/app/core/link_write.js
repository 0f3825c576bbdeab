(...given) => {
  // Gradio tells of its own first tab as well: a view as it was at first is written only over another one.
  ASKED
  BEFORE
  const others = () => Object.fromEntries(KEYS.slice(2).map((key) => [key, link.asked.get(key) ?? ""]));
  const view = (window.shownView ??= {...FIRST, ...others()});
  Object.assign(view, CHANGE);
  const shown = new URLSearchParams(location.search);
  const isFirst = Object.entries(FIRST).every(([key, value]) => view[key] === value);
  if (!link.waits.size && (!isFirst || Object.keys(view).some((key) => shown.has(key)))) {
    for (const [key, value] of Object.entries(view)) if (value) shown.set(key, value); else shown.delete(key);
    const words = shown.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
    history.replaceState(history.state, "", `${location.pathname}?${words}${location.hash}`);
  }
  const said = [...document.querySelectorAll(".link [role=status]")];
  for (const status of said.filter(({dataset}) => dataset.view !== VIEW)) status.textContent = "";
}
