// What was asked for, noted by whichever script runs first, before any of them writes: engines differ in which that is.
  const link = (window.askedLink ??= (() => {
    const asked = new URLSearchParams(location.search), waits = new Set();
    const tab = FORMER[asked.get("tab")] ?? asked.get("tab");
    if (TABS.indexOf(tab) > 0) waits.add("tab");
    if (KEYS.some((key) => asked.has(key))) waits.add("view");
    return {asked, tab, waits};
  })());
  const tabs = () => [...document.querySelectorAll('[role="tab"]')];
