// Builds the page from the lines of JSON in #data: one per clip, read when it is opened, and a last one about the run.
// Text from the data becomes text nodes and attributes only, never markup.
"use strict";

const get = id => document.getElementById(id);
const lines = get("data").textContent.split("\n");
const run = JSON.parse(lines[lines.length - 1]);
const palettes = Object.fromEntries(Object.entries(run.colours).map(([name, colours]) => [name, colours.map(
  colour => [1, 3, 5].map(place => parseInt(colour.slice(place, place + 2), 16)))]));
const methods = Object.keys(run.summary).length
  ? Object.keys(run.summary) : [...new Set(Object.values(run.metrics).flatMap(Object.keys))];
const isBaseline = method => run.baselines.includes(method);
const mainMethod = [run.recipe.options?.method, ...methods].find(method => methods.includes(method));
const mainMetric = "auc_flow_frame";
const OUTLINE = [86, 180, 233];
const SHORT = {auc: "AUC", auroc: "AUROC", nss: "NSS", cc: "CC", sim: "SIM", tsr: "TSR", flow: "optical flow"};
const METRICS = {
  flow_share_frame: "Share of moving pixels, mean over frames", flow_share_clip: "Share of moving pixels, whole clip",
  mask_share_frame: "Share of the person's pixels, mean over frames",
  mask_share_clip: "Share of the person's pixels, whole clip", frames_with_reference: "Frames with motion",
  frames_constant: "Frames where the map is constant", time_spearman_flow: "Spearman of the totals per frame with flow",
  time_auroc_visible: "AUROC of the totals per frame, person visible", last_quarter_share: "Share in the last quarter",
};
const CHANCE = {auc: 0.5, nss: 0, cc: 0, time_auroc: 0.5, time_spearman: 0};

// ---- helpers

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// A metric or a probability: three decimals.
function number(value) {
  if (typeof value !== "number") return "n/a";
  return (Number.isInteger(value) ? String(value) : value.toFixed(3)).replace(/^-(?=0\.000)/, "").replace("-", "−");
}

// An amount of any size: three digits.
function amount(value) {
  if (typeof value !== "number") return "n/a";
  return String(Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : Math.round(value)).replace("-", "−");
}

function words(name) {
  const text = SHORT[name] ?? name.replace(/^tsr_/, "TSR ").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function metricName(name) {
  if (name in METRICS) return METRICS[name];
  const [, metric, reference, span] = name.match(/^(.+)_(flow|mask)_(frame|clip)$/) ?? [];
  if (!metric) return words(name);
  const against = reference === "flow" ? "flow" : "the person's mask";
  return `${words(metric)} against ${against}, ${span === "frame" ? "mean over frames" : "whole clip"}`;
}

function interval(cell) {
  if (typeof cell?.mean !== "number") return "n/a";
  const range = typeof cell.low === "number" ? ` [${number(cell.low)}, ${number(cell.high)}]` : "";
  return number(cell.mean) + range + (cell.n_nan ? `, ${cell.n_nan} undefined` : "");
}

const options = names => names.map(([value, text]) => el("option", {value}, text));

function table(node, corner, columns, rows) {
  const head = columns.map(name => el("th", {scope: "col", className: isBaseline(name) ? "baseline" : ""}, words(name),
    ...(isBaseline(name) ? [el("small", {}, "baseline")] : [])));
  const body = rows.map(([name, ...cells]) => el("tr", {},
    el("th", {scope: "row", title: name}, metricName(name)), ...cells.map(cell => el("td", {}, cell))));
  node.replaceChildren(el("thead", {}, el("tr", {}, el("th", {scope: "col"}, corner), ...head)),
    el("tbody", {}, ...body));
}

// ---- what was run

const verdict = clip => !clip.label ? "" : clip.label === clip.predicted ? "right" : "wrong";

function describeRun() {
  const option = run.recipe.options ?? {}, versions = run.recipe.versions ?? {}, first = run.clips[0]?.shape ?? [];
  const data = (option.video?.length ? option.video : [option.dataset, option.subset]).filter(Boolean).join(", ");
  get("title").textContent = data ? `Frame saliency: ${data}` : "Frame saliency";
  document.title = `Saliency report: ${data || "frames"}`;
  const labelled = run.clips.filter(clip => clip.label), right = labelled.filter(clip => verdict(clip) === "right");
  const plural = run.clips.length === 1 ? "clip" : "clips";
  get("lead").textContent = `${run.clips.length} ${plural} of ${first[0]} frames, ${first[2]} × ${first[1]} pixels. `
    + (labelled.length ? `The class is right in ${right.length} of ${labelled.length}. ` : "No clip has a label. ")
    + "Which pixels, frames and features did the score depend on?";
  const facts = {
    Model: [option.model, option.resume_path].filter(Boolean).join(", "),
    Data: option.video?.length ? data : [data, option.annotation_path].filter(Boolean).join(", "),
    Explained: option.score && `${option.score} of ${
      ["predicted", "label"].includes(option.target) ? `the ${option.target} class` : `class ${option.target}`}`,
    Method: [option.method, option.tsr && `TSR (patch ${option.tsr_patch}, quantile ${option.tsr_quantile}, `
      + `fill ${option.tsr_fill})`].filter(Boolean).join(", "),
    [`${words(mainMethod ?? "")} ${metricName(mainMetric)}`]: interval(run.summary[mainMethod]?.[mainMetric]),
    Versions: Object.entries(versions).map(pair => pair.join(" ")).join(", "),
    Commit: run.recipe.commit?.slice(0, 12),
  };
  for (const [name, text] of Object.entries(facts)) {
    if (text && text !== "n/a") get("facts").append(el("div", {}, el("dt", {}, name), el("dd", {}, text)));
  }
  for (const [name, recipe] of [["Frame saliency", run.recipe], ["Feature saliency", run.feature_recipe]]) {
    for (const [part, content] of Object.entries(recipe)) {
      const entries = content && typeof content === "object" ? Object.entries(content) : [[part, content]];
      get("recipe").append(el("h3", {}, `${name}: ${part}`), el("dl", {}, ...entries.flatMap(([key, value]) =>
        [el("dt", {}, key), el("dd", {}, typeof value === "string" ? value : JSON.stringify(value))])));
    }
  }
  get("recipe").closest("details").hidden = !get("recipe").childElementCount;
  get("problems").hidden = !run.problems.length;
  get("problems").append(...run.problems.map(text => el("li", {}, text)));
}

// ---- the comparison of methods

function ticks(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const first = Math.ceil(low / step), last = Math.floor(high / step + 1e-9);
  return Array.from({length: last - first + 1}, (_, place) => Number(((first + place) * step).toPrecision(6)));
}

function drawComparison() {
  const metric = get("metric").value, chance = CHANCE[metric.replace(/_(flow|mask|visible)(_frame|_clip)?$/, "")];
  const rows = methods.map(method => ({method, ...run.summary[method][metric]}))
    .sort((a, b) => (b.mean ?? -Infinity) - (a.mean ?? -Infinity));
  const values = rows.flatMap(row => [row.low, row.mean, row.high]).concat(chance).filter(Number.isFinite);
  const margin = (Math.max(...values) - Math.min(...values)) * 0.06 || 0.1;
  const low = Math.min(...values) - margin, high = Math.max(...values) + margin;
  const place = value => `${(100 * (value - low) / (high - low)).toFixed(2)}%`;
  const mark = (className, value, ...children) => {
    const node = el("span", {className}, ...children);
    node.style.left = place(value);
    return node;
  };
  const drawn = rows.map(row => {
    const track = el("span", {className: "track"});
    if (chance !== undefined) track.append(mark("chance", chance));
    if (Number.isFinite(row.low)) {
      const whisker = mark("whisker", row.low);
      whisker.style.width = `${100 * (row.high - row.low) / (high - low)}%`;
      track.append(whisker);
    }
    if (Number.isFinite(row.mean)) track.append(mark("dot", row.mean));
    return el("div", {className: isBaseline(row.method) ? "bar_row baseline" : "bar_row"},
      el("span", {className: "bar_name"}, words(row.method)), track,
      el("span", {className: "bar_value"}, interval(row)));
  });
  const axis = el("span", {className: "track axis", "aria-hidden": "true"});
  axis.append(...ticks(low, high).map(value => mark("tick", value, String(value))));
  get("bars").replaceChildren(...drawn, el("div", {className: "bar_row"}, axis));
  const n = Math.max(...rows.map(row => row.n ?? 0));
  get("bars_caption").replaceChildren(el("strong", {}, metricName(metric)), `. Mean over ${n} clips with its 95 % `
    + "bootstrap interval. Open circles and italics: baselines that know nothing of the network."
    + (chance === undefined ? "" : ` Dotted line: chance, ${chance}.`));
}

function describeMethods() {
  const names = [...new Set(methods.flatMap(method => Object.keys(run.summary[method] ?? {})))];
  get("comparison").hidden = !names.length;
  get("no_metrics").hidden = names.length > 0;
  if (!names.length) return;
  get("metric").append(...options(names.map(name => [name, metricName(name)])));
  if (names.includes(mainMetric)) get("metric").value = mainMetric;
  get("metric").addEventListener("change", drawComparison);
  drawComparison();
  table(get("summary"), "Metric", methods,
    names.map(name => [name, ...methods.map(method => interval(run.summary[method][name]))]));
}

function describeFeatures() {
  const rows = Object.entries(run.feature_summary).map(([name, cell]) => [name, interval(cell)]);
  get("feature_summary_part").hidden = !rows.length;
  table(get("feature_summary"), "Metric", ["Mean over clips, 95 % interval"], rows);
}

// ---- the gallery

const metricOf = (clip, name) => run.metrics[clip.clip]?.[get("method").value]?.[name];
const sortValue = (clip, name) => name === "clip" || name === "probability" ? clip[name] : metricOf(clip, name);
let gallery = [];  // clips in the order shown

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
  gallery = run.clips.filter(clip => (!chosen || (clip.label || "none") === chosen)
    && (!truth || verdict(clip) === truth));
  gallery.sort((one, other) => {
    const [a, b] = [sortValue(one, sort), sortValue(other, sort)];
    if (a == null || b == null) return (a == null) - (b == null);
    return direction * (sort === "clip" ? a.localeCompare(b, "en", {numeric: true}) : a - b);
  });
  get("gallery").replaceChildren(...gallery.map(card));
  get("count").textContent = `${gallery.length} of ${run.clips.length} clips. `
    + "Thumbnails show the frame with most motion.";
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
