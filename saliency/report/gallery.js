// Shows a strip with a thumbnail per clip, filtered and sorted.

let shownClips = [];  // The clips of the gallery in their order.

const metricOf = (clip, name) => run.metrics[clip.clip]?.[get("method").value]?.[name];
const sortValue = (clip, name) => name === "clip" || name === "probability" ? clip[name] : metricOf(clip, name);

function card(clip) {
  const sort = get("sort").value, truth = verdict(clip), symbol = {right: "✓ ", wrong: "✗ "}[truth] ?? "";
  const sorted = ["clip", "probability"].includes(sort) ? "" : `, ${metricName(sort)} ${number(metricOf(clip, sort))}`;
  const over = clip.thumbnail_map ? `, coloured by ${words(clip.thumbnail_map)}` : "";
  const image = el("img", {src: clip.thumbnail, alt: `Frame ${clip.thumbnail_frame} of ${clip.clip}${over}`,
    width: clip.shape[2], height: clip.shape[1], decoding: "async"});
  const button = el("button", {type: "button", className: `card ${truth}`}, image,
    el("span", {className: "name"}, clip.clip ?? "no name"),
    el("span", {className: "card_facts"}, `${symbol}${clip.predicted ?? "n/a"} ${number(clip.probability)}${sorted}`,
      ...truth ? [el("span", {className: "unseen"}, ` (${truth})`)] : []));
  button.addEventListener("click", () => openClip(clip));
  button.clip = clip;
  return el("li", {}, button);
}

function drawGallery() {
  const chosen = get("by_class").value, truth = get("by_verdict").value, sort = get("sort").value;
  const direction = Number(get("order").value);
  shownClips = run.clips.filter(clip => (!chosen || (clip.label || "none") === chosen)
    && (!truth || verdict(clip) === truth));
  shownClips.sort((one, other) => {
    const [a, b] = [sortValue(one, sort), sortValue(other, sort)];
    if (a == null || b == null) return (a == null) - (b == null);
    return direction * (sort === "clip" ? a.localeCompare(b, "en", {numeric: true}) : a - b);
  });
  get("gallery").replaceChildren(...shownClips.map(card));
  get("count").textContent = `${shownClips.length} of ${counted(run.clips.length, "clip")} `
    + `${shownClips.length === 1 ? "is" : "are"} shown; filter and sort`;
  markCard();
}

// Marks the thumbnail of the open clip and brings it into view.
function markCard() {
  for (const button of get("gallery").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.clip === state.clip));
    if (button.clip === state.clip) {
      get("gallery").scrollLeft = button.offsetLeft - get("gallery").offsetLeft - get("gallery").clientWidth / 3;
    }
  }
}

function describeGallery() {
  const classes = [...new Set(run.clips.map(clip => clip.label || "none"))].sort();
  const names = [...new Set(Object.values(run.metrics).flatMap(Object.values).flatMap(Object.keys))];
  get("by_class").append(...options(classes.map(name => [name, name])));
  get("method").append(...options(methods.map(name => [name, words(name)])));
  get("method").value = mainMethod;
  get("method").parentElement.hidden = !methods.length;
  get("sort").append(...options([["clip", "Name"], ["probability", "Probability"],
    ...names.map(name => [name, metricName(name)])]));
  get("filters").addEventListener("change", drawGallery);
  get("strip_part").hidden = get("neighbours").hidden = run.clips.length < 2;
  drawGallery();
  if (shownClips.length) openClip(shownClips[0]);
}
