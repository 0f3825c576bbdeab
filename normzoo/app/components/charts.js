// `props` and `trigger` are what Gradio gives to such a script. Each new drawing is a new element: it is listened to as soon as
// a pointer comes near it.
const place = document.getElementById("CHART");
place.setAttribute("tabindex", "0");  // wider than a phone, it is scrolled with the keyboard too
new IntersectionObserver((entries, observer) => {
  if (!entries.at(-1).isIntersecting) return;
  observer.disconnect();
  place.dataset.seen = "";
  trigger("expand");
}, {rootMargin: "100px"}).observe(place);
document.addEventListener("pointerover", (event) => {
  const chart = event.target.closest?.("#CHART .js-plotly-plot");
  if (!chart || chart.isHeard) return;
  chart.isHeard = true;
  chart.on("plotly_click", ({points}) => {
    props.value = {x: points[0].x, y: points[0].y};
    trigger("select");
  });
});
