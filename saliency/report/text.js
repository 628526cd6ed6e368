// Turns names and numbers of the data into text for the reader.

const SHORT = {tsr: "TSR", flow: "Optical flow"};

// Returns a metric or a probability with three decimals.
function number(value) {
  if (typeof value !== "number") return "n/a";
  return (Number.isInteger(value) ? String(value) : value.toFixed(3)).replace(/^-(?=0\.000)/, "").replace("-", "−");
}

// Returns a number of any size with three digits.
function amount(value) {
  if (typeof value !== "number") return "n/a";
  return String(Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : Math.round(value)).replace("-", "−");
}

// Returns a count with its noun, such as "1 clip" or "4 clips".
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// Returns the name of a method or a fact in words.
function words(name) {
  const text = SHORT[name] ?? name.replace(/^tsr_/, "TSR ").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// Returns the name of a metric in words, and its value by chance, which may be missing.
const metricName = name => run.columns[name]?.[0] ?? words(name);
const chanceOf = name => run.columns[name]?.[1] ?? undefined;

// Whether a cell has an interval, which fewer than five people or videos do not allow.
const hasInterval = cell => typeof cell?.low === "number";

// Returns a mean over clips with its interval, or with the values if they are few, and the clips without a value.
function interval(cell) {
  if (typeof cell?.mean !== "number") return "n/a";
  const values = cell.values?.length > 1 ? ` (${cell.values.map(number).join(", ")})` : "";
  const range = hasInterval(cell) ? ` [${number(cell.low)}, ${number(cell.high)}]` : values;
  return number(cell.mean) + range + (cell.n_nan ? `, ${cell.n_nan} undefined` : "");
}

// Returns a text as a list of texts and elements, in which flags such as --sanity are code.
const withFlags = text => text.split(/(--\w+)/).map(part => part.startsWith("--") ? el("code", {}, part) : part);

// Returns what the cells of a summary are: means with intervals or values, or the values of a single clip.
function sample(cells) {
  const count = Math.max(0, ...cells.map(cell => cell.n ?? 0)), units = run.overview?.profiles.units ?? "clips";
  const groups = Math.max(0, ...cells.map(cell => cell.groups ?? 0));
  if (count < 2) return count ? "1 clip, no interval" : "no clip has a value";
  return `mean over ${count} clips, ` + (cells.some(hasInterval) ? `95 % interval over ${groups} ${units}`
    : `values; fewer than 5 ${units} are too few for an interval`);
}
