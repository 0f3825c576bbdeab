// Arrows switch tabs. A list that was opened stays open when the Tab key takes the focus away; Escape closes it. When a tab or
// fold has just been opened, Gradio sets the controls in it to their first values once more a frame after they can be used: what
// a person has chosen in between is chosen again.
// Charts need a script of 4.6 MB: it is loaded as soon as a pointer or the keyboard comes near the tabs.
for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, ({target}) => {
  if (target.closest?.('[role="tab"]')) import(new URL("assets/PLOTLY", document.baseURI)).catch(() => {});
});
const STEPS = {ArrowRight: 1, ArrowLeft: -1};
document.addEventListener("keydown", (event) => {
  const tabs = [...document.querySelectorAll('[role="tab"]')], place = tabs.indexOf(event.target.closest?.('[role="tab"]'));
  if (place < 0 || !(event.key in STEPS)) return;
  event.preventDefault();
  const next = tabs.at((place + STEPS[event.key]) % tabs.length);
  next.focus();
  next.click();
});
document.addEventListener("focusout", ({target}) => {
  if (target.getAttribute?.("role") !== "combobox") return;
  setTimeout(() => {
    const escape = new KeyboardEvent("keydown", {key: "Escape", bubbles: true});
    if (document.activeElement !== target) target.dispatchEvent(escape);
  }, 150);
});
const OPENING_MS = 3000, KEPT_MS = 1000;
let opened = -OPENING_MS, last = null;
document.addEventListener("click", ({target}) => {
  if (target.closest?.('[role="tab"], .label-wrap')) opened = performance.now();
}, true);
document.addEventListener("input", ({target, isTrusted}) => {
  const state = {range: "value", number: "value", checkbox: "checked", radio: "checked"}[target.type];
  const now = performance.now(), choice = {}, wanted = target[state];
  if (!isTrusted) return;
  last = choice;
  if (!state || now > opened + OPENING_MS) return;
  const keep = () => {
    if (last !== choice || performance.now() > now + KEPT_MS) return;
    if (target[state] === wanted) return requestAnimationFrame(keep);
    if (state === "checked") return target.click();
    target.value = wanted;
    target.dispatchEvent(new Event("input", {bubbles: true}));
  };
  keep();
}, true);
