// Reads the data of the page. The element #data holds one line of JSON per clip, which is parsed when the clip is
// opened, and a last line about the run. Text from the data only becomes text nodes and attributes, never markup.
"use strict";

const get = id => document.getElementById(id);
const lines = get("data").textContent.split("\n");
const run = JSON.parse(lines[lines.length - 1]);

// Each palette holds 256 colours [red, green, blue].
const palettes = Object.fromEntries(Object.entries(run.colours).map(([name, colours]) => [name, colours.map(
  colour => [1, 3, 5].map(place => parseInt(colour.slice(place, place + 2), 16)))]));

const methods = Object.keys(run.summary).length
  ? Object.keys(run.summary) : [...new Set(Object.values(run.metrics).flatMap(Object.keys))];
const isBaseline = method => run.baselines.includes(method);
const mainMethod = [run.recipe.options?.method, ...methods].find(method => methods.includes(method));
const mainMetric = "auc_flow_frame";

// Returns "right" or "wrong", or "" for a clip without a label.
const verdict = clip => !clip.label ? "" : clip.label === clip.predicted ? "right" : "wrong";
