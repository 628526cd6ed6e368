// Builds elements of the page.

// Returns an HTML element. A property that the element does not have becomes an attribute.
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

// Returns an SVG element.
function svgElement(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// Returns the options of a <select> from pairs [value, text].
const options = pairs => pairs.map(([value, text]) => el("option", {value}, text));

// Fills a <table> with metrics. `columns` holds names of methods; a row is [metric, a text per column].
function fillTable(node, corner, columns, rows) {
  const head = columns.map(name => el("th", {scope: "col", className: isBaseline(name) ? "baseline" : ""}, words(name),
    ...(isBaseline(name) ? [el("small", {}, "baseline")] : [])));
  const body = rows.map(([name, ...cells]) => el("tr", {},
    el("th", {scope: "row", title: name}, metricName(name)), ...cells.map(cell => el("td", {}, cell))));
  node.replaceChildren(el("thead", {}, el("tr", {}, el("th", {scope: "col"}, corner), ...head)),
    el("tbody", {}, ...body));
}
