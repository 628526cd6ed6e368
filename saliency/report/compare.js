// Fills the page of two runs: what was found, what differs in the recipes, and the differences of the figures.

const pair = run.comparison;

function describePair() {
  const [a, b] = pair.runs;
  get("title").textContent = `${counted(pair.clips.common, "clip")} under two runs`;
  document.title = "Two runs compared";
  get("run_a").textContent = `${a} (map: ${words(pair.methods[0])})`;
  get("run_b").textContent = `${b} (map: ${words(pair.methods[1])})`;
  get("findings").append(...pair.sentences.map(text => el("li", {}, text)));
}

// Returns a value of a recipe as text; null means that the run has no such entry.
const valueText = value => value == null ? "none" : typeof value === "string" ? value : JSON.stringify(value);

function describeRecipes() {
  get("no_differences").hidden = pair.recipes.length > 0;
  get("recipes").parentElement.hidden = !pair.recipes.length;
  const head = ["Part", "Name", "A", "B"].map(text => el("th", {scope: "col"}, text));
  get("recipes").append(el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...pair.recipes.map(
    ([part, name, ...values]) => el("tr", {}, el("th", {scope: "row"}, part), el("td", {}, name),
      ...values.map(value => el("td", {}, valueText(value)))))));
}

// Whether the interval of a difference does not hold 0.
const isClear = cell => hasInterval(cell) && (cell.low > 0 || cell.high < 0);

function drawFigures() {
  const cells = Object.entries(pair.figures[get("section").value] ?? {});
  const head = ["Figure", "A", "B", "B − A", "Clips"].map(text => el("th", {scope: "col"}, text));
  const rows = cells.map(([name, cell]) => el("tr", {className: isClear(cell) ? "clearly" : ""},
    el("th", {scope: "row", title: name}, metricName(name)), ...[number(cell.a), number(cell.b),
      interval({...cell, mean: cell.difference, n_nan: 0}) + (isClear(cell) ? " *" : ""), String(cell.n)]
      .map(text => el("td", {}, text))));
  get("figures").replaceChildren(el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

function describeFigures() {
  const [a, b] = pair.methods.map(words);
  get("section").append(...options(Object.keys(pair.figures).map(
    name => [name, name === "main map" ? `the map: ${a} in A, ${b} in B` : words(name)])));
  if (pair.figures["main map"]) get("section").value = "main map";
  else if (pair.figures[pair.methods[0]]) get("section").value = pair.methods[0];
  get("section").addEventListener("change", drawFigures);
  get("units").textContent = pair.units;
  get("figures_note").hidden = pair.clips.common < 2;
  get("one_clip").hidden = pair.clips.common > 1;
  drawFigures();
}

describePair();
describeRecipes();
describeFigures();
