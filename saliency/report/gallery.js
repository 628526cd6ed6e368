// Shows a card per clip, filtered and sorted.

let shownClips = [];  // The clips of the gallery in their order.

const metricOf = (clip, name) => run.metrics[clip.clip]?.[get("method").value]?.[name];
const sortValue = (clip, name) => name === "clip" || name === "probability" ? clip[name] : metricOf(clip, name);

function card(clip) {
  const sort = get("sort").value, truth = verdict(clip);
  const fact = (name, value, mark = "") => [el("span", {className: "key"}, name),
    el("span", {className: mark}, value, ...(mark ? [el("span", {className: "unseen"}, ` (${mark})`)] : []))];
  const symbol = {right: "✓\u00a0", wrong: "✗\u00a0"}[truth] ?? "";
  const more = ["clip", "probability", mainMetric].includes(sort) ? []
    : fact(metricName(sort), number(metricOf(clip, sort)));
  const over = clip.thumbnail_map ? `, coloured by ${words(clip.thumbnail_map)}` : "";
  const image = el("img", {src: clip.thumbnail, alt: `Frame ${clip.thumbnail_frame} of ${clip.clip}${over}`,
    width: clip.shape[2], height: clip.shape[1], decoding: "async"});
  const button = el("button", {type: "button", className: `card ${truth}`}, image,
    el("span", {className: "name"}, clip.clip ?? "no name"),
    el("span", {className: "card_facts"}, ...fact("label", clip.label || "none"),
      ...fact("predicted", `${symbol}${clip.predicted ?? "n/a"}`, truth),
      ...fact("probability", number(clip.probability)),
      ...fact("AUC, flow", number(metricOf(clip, mainMetric))), ...more));
  button.addEventListener("click", () => openClip(clip));
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
    + `${shownClips.length === 1 ? "is" : "are"} shown.`;
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
  drawGallery();
}
