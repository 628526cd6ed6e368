// Draws a clip over time: a strip of its frames, and charts with a value per frame.

// Returns a canvas with all frames side by side.
function filmStrip() {
  const {length, width, height} = state, wide = Math.max(1, Math.min(width, Math.floor(16000 / length)));
  const tall = Math.ceil(wide * height / width), [{canvas, context}] = state.maps;
  const film = el("canvas", {width: length * wide, height: tall, className: "film", role: "img",
    "aria-label": `The ${length} frames side by side`});
  for (let frame = 0; frame < length; frame++) {
    context.putImageData(frameImage({}, frame), 0, 0);
    film.getContext("2d").drawImage(canvas, frame * wide, 0, wide, tall);
  }
  return film;
}

// Returns a list with one row for `timeline`, or an empty list if there is nothing to draw. The row has bars and up to
// two lines. `contribution` (T) or null makes the bars. `series` holds entries [name, values (T)] or undefined; each is
// scaled to its largest value and becomes a line. Without `contribution`, the first entry makes the bars.
function chart(legend, contribution, series) {
  const shares = series.filter(Boolean).map(([name, values]) => {
    const largest = Math.max(...values);
    return [`${name}, share of the largest (${amount(largest)})`, values.map(value => value && value / largest)];
  });
  if (contribution) shares.unshift(["Time contribution (TSR)", contribution]);
  if (!shares.length) return [];
  const [[name, heights], ...others] = shares, best = heights.indexOf(Math.max(...heights)) + 1;
  const svg = svgElement("svg", {viewBox: `0 0 ${state.length} 1`, preserveAspectRatio: "none", class: "chart",
    role: "img", "aria-label": `${name}, per frame. Frame ${best} has the largest value. Click a frame to show it.`});
  const bars = heights.map((value, frame) => svgElement("rect", {x: frame + 0.12, width: 0.76, y: 1 - (value ?? 1),
    height: value ?? 1, class: value === null ? "undefined" : "bar"}));
  svg.append(...bars, ...others.map(([, values], line) => svgElement("polyline", {class: `line line${line}`,
    points: values.map((value, frame) => value === null ? "" : `${frame + 0.5},${1 - value}`).join(" ")})));
  state.bars.push(bars);
  const keys = [["bar", name], ...others.map(([text], line) => [`line${line}`, text])];
  if (heights.includes(null)) keys.push(["undefined", "undefined"]);
  legend.replaceChildren(...keys.map(([key, text]) => el("span", {}, el("i", {className: `key_${key}`}), text)));
  return [["share, 0 to 1", svg]];
}

// Returns a row for `timeline` with a bar per frame: the values of a map for and against a class, or their magnitude.
function valuesRow(map, name) {
  const up = map.for ?? map.totals, down = map.against ?? [], largest = Math.max(...up, ...down) || 1;
  const sides = map.sides ? `: ${map.sides[1]} upwards, ${map.sides[0]} downwards` : "";
  const svg = svgElement("svg", {viewBox: `0 -1 ${state.length} ${map.for ? 2 : 1}`, preserveAspectRatio: "none",
    class: map.sheet ? "chart" : "chart low", role: "img", "aria-label": `${name}, per frame${sides}. Click a frame to show it.`});
  for (const [values, sign, side] of [[up, -1, map.for ? "for" : "bar"], [down, 0, "against"]]) {
    svg.append(...values.map((value, frame) => svgElement("rect", {x: frame + 0.12, width: 0.76,
      y: sign * value / largest, height: value / largest, class: side})));
  }
  svg.append(svgElement("line", {x1: 0, x2: state.length, y1: 0, y2: 0, class: "zero"}));
  return [`${name}, ${map.for ? "±" : "0 to "}${amount(largest)}`, svg];
}

// Fills the charts over time: the totals of the leading map of the first chosen class, and of the flow; and a row for
// each map of the chosen classes that has a value per frame and no pixels.
function showOverTime(chosen, flow) {
  const [shown] = chosen, map = leadMap(shown), legend = get("legend");
  const series = [map?.sheet && [map.signed ? `Sum of |${map.name}|` : `Sum of ${map.name}`, map.totals], flow && ["Sum of optical flow", flow.totals]];
  legend.replaceChildren();
  const rows = chart(legend, shown.time_contribution, series);
  if (map?.sheet && map.sides) rows.push(valuesRow(map, "sum"));
  const several = chosen.length > 1, frameMaps = chosen.flatMap(each => each.maps.filter(own => !own.sheet
    && !(own.name === "tsr" && each.time_contribution)).map(own => [own, several ? `, ${each.name}` : ""]));
  rows.push(...frameMaps.map(([own, name]) => valuesRow(own, words(own.name) + name)));
  const signed = [map, ...frameMaps.map(([own]) => own)].find(own => own?.sides);
  if (signed) {
    legend.append(...["for", "against"].map((side, place) => el("span", {}, el("i", {className: `key_${side}`}),
      several ? ["upwards: for the class", "downwards: against it"][place] : signed.sides[1 - place])));
  }
  get("time_class").textContent = `, class ${shown.name}`;
  timeline(get("timeline"), [["frames", filmStrip()], ...rows]);
}

// Fills a container with rows [label, node] above an axis of frames. A click or a drag shows the frame under it.
function timeline(container, rows) {
  const cursor = el("div", {className: "cursor"}), axis = el("div", {className: "row axis", "aria-hidden": "true"});
  const step = [1, 5, 10, 20, 50, 100, 1000].find(each => state.length / each <= 15);
  for (let frame = 1; frame <= state.length; frame++) {
    if (frame > 1 && frame % step) continue;
    const tick = el("span", {className: "tick"}, String(frame));
    tick.style.left = `${100 * (frame - 0.5) / state.length}%`;
    axis.append(tick);
  }
  const drawn = rows.map(([name, node]) => el("div", {className: "row"},
    el("span", {className: "row_name"}, name), node));
  const track = el("div", {className: "time_track"}, ...drawn, axis, cursor);
  const seek = event => {
    const {left, width} = track.getBoundingClientRect();
    showFrame(Math.floor((event.clientX - left) / width * state.length));
  };
  track.addEventListener("pointerdown", seek);
  track.addEventListener("pointermove", event => event.buttons === 1 && seek(event));
  container.replaceChildren(track);
  state.cursors.push(cursor);
}
