// What is said stays until the view is another one, whatever is written meanwhile.
element.addEventListener("click", async (event) => {
  if (!event.target.closest("button")) return;
  const isOwn = "ownPhoto" in document.body.dataset || "ownPhotos" in document.body.dataset;
  const own = isOwn ? " It opens with examples: photos of your own are in no link." : "";
  let words = `Copied.${own}`;
  try { await navigator.clipboard.writeText(location.href); }
  catch { words = "The browser does not allow that: copy it from the address bar."; }
  const status = element.querySelector("[role=status]");
  status.textContent = words;
  status.dataset.view = VIEW;
});
