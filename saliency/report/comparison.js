// Compares the methods: a chart of one metric, a table of all metrics, and the metrics of CNN features.

// Returns round numbers for an axis from `low` to `high`.
function ticks(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(factor => factor * power >= rough);
  const first = Math.ceil(low / step), last = Math.floor(high / step + 1e-9);
  return Array.from({length: last - first + 1}, (_, place) => Number(((first + place) * step).toPrecision(6)));
}

function drawComparison() {
  const metric = get("metric").value, chance = chanceOf(metric);
  const rows = methods.map(method => ({method, ...run.summary[method][metric]}))
    .sort((a, b) => (b.mean ?? -Infinity) - (a.mean ?? -Infinity));
  const values = rows.flatMap(row => [row.low, row.mean, row.high]).concat(chance).filter(Number.isFinite);
  const margin = (Math.max(...values) - Math.min(...values)) * 0.06 || 0.1;
  const low = Math.min(...values) - margin, high = Math.max(...values) + margin;
  const mark = (className, value, ...children) => {
    const node = el("span", {className}, ...children);
    node.style.left = `${(100 * (value - low) / (high - low)).toFixed(2)}%`;
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
  get("bars_caption").replaceChildren(el("strong", {}, metricName(metric)), ` (${sample(rows)}). `
    + "Open circles and italics mark baselines, which do not use the network."
    + (chance === undefined ? "" : ` The dotted line marks chance, ${chance}.`));
}

// Shows a metric in the chart, if the run has it.
function showMetric(name) {
  if (![...get("metric").options].some(option => option.value === name)) return;
  get("metric").value = name;
  drawComparison();
}

function describeMethods() {
  const names = [...new Set(methods.flatMap(method => Object.keys(run.summary[method] ?? {})))];
  get("comparison").hidden = !names.length;
  if (!names.length) return;
  get("metric").append(...options(names.map(name => [name, metricName(name)])));
  if (names.includes(mainMetric)) get("metric").value = mainMetric;
  get("metric").addEventListener("change", drawComparison);
  drawComparison();
  fillTable(get("summary"), "Metric", methods,
    names.map(name => [name, ...methods.map(method => interval(run.summary[method][name]))]));
}

// Shows a table per question of which method to trust, or a line if the run did not measure it.
function describeTrust() {
  get("trust_part").hidden = !run.trust.some(({rows}) => rows?.length);
  get("trust").append(...run.trust.filter(({rows}) => rows?.length).flatMap(({question, note, rows}) => {
    const tests = [...new Set(rows.flatMap(({margins}) => Object.keys(margins)))];
    const cells = [["Tests passed", row => row.tests ? `${row.passed} of ${row.tests}` : "–"],
      ...tests.map(test => [test, row => interval(row.margins[test])])];
    const table = el("table");
    fillTable(table, "Margin", rows.map(({method}) => method), cells.map(([name, text]) => [name, ...rows.map(text)]));
    const part = el("div", {className: "scroll", tabIndex: 0, role: "region", "aria-label": question}, table);
    return [el("h4", {}, words(question)), part, el("p", {className: "note"}, ...withFlags(note))];
  }));
}

function describeFeatures() {
  const cells = Object.entries(run.feature_summary);
  get("feature_summary_part").hidden = !cells.length;
  fillTable(get("feature_summary"), "Metric", [sample(Object.values(run.feature_summary))],
    cells.map(([name, cell]) => [name, interval(cell)]));
}
