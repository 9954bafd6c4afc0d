// A page from disk may not read its neighbours, so there the search shows titles without excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

for (const place of document.querySelectorAll(".plotly-figure")) {
  const figure = JSON.parse(place.querySelector("script").textContent);
  place.setAttribute("role", "figure");
  place.setAttribute("aria-label", place.querySelector("img").alt);
  place.replaceChildren();
  Plotly.newPlot(place, {...figure, config: {responsive: true, displaylogo: false}});
}
