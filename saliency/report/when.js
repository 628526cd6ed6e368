// Shows when the model decided on a clip: sentences, Shapley values, shortest intervals and growing prefixes.

// Returns a chart with a bar per group of frames, above the middle for the class and below it against the class.
function valueChart(when) {
  const largest = Math.max(...when.values.map((value, place) => Math.abs(value) + when.errors[place])) || 1;
  const best = when.values.indexOf(Math.max(...when.values)) * when.segment + 1;
  const svg = svgElement("svg", {viewBox: `0 -1 ${state.length} 2`, preserveAspectRatio: "none", class: "chart",
    role: "img", "aria-label": `Shapley values; frame ${best} has the largest one. Click a frame to show it.`});
  when.values.forEach((value, place) => {
    const left = place * when.segment, width = Math.min(when.segment, state.length - left), high = value / largest;
    const error = when.errors[place] / largest, middle = left + width / 2;
    svg.append(svgElement("rect", {x: left + 0.12, width: width - 0.24, y: Math.min(-high, 0), height: Math.abs(high),
      class: value < 0 ? "against" : "for"}),
    svgElement("line", {x1: middle, x2: middle, y1: -high - error, y2: -high + error, class: "whisker"}));
  });
  svg.append(svgElement("line", {x1: 0, x2: state.length, y1: 0, y2: 0, class: "zero"}));
  return [`value, ±${amount(largest)}`, svg];
}

// Returns a row with a bracket over an interval of frames, or the word "none".
function bracket([name, first, last]) {
  const mark = el("span", {className: first ? "span" : "no_span"}, first ? "" : "none");
  if (first) {
    mark.style.left = `${100 * (first - 1) / state.length}%`;
    mark.style.width = `${100 * (last - first + 1) / state.length}%`;
    mark.title = first === last ? `frame ${first}` : `frames ${first} to ${last}`;
  }
  return [name, el("div", {className: "span_row"}, mark)];
}

// Returns a chart of the probability of the predicted class after each frame.
function prefixChart(when) {
  const points = values => values.map((value, frame) => `${frame + 0.5},${1 - value}`).join(" ");
  const svg = svgElement("svg", {viewBox: `0 0 ${state.length} 1`, preserveAspectRatio: "none", class: "chart",
    role: "img", "aria-label": "Probability of the predicted class after each frame, 0 to 1. "
      + (when.decided ? `Decided at frame ${when.decided}.` : "The frames do not decide.")});
  svg.append(svgElement("line", {x1: 0, x2: state.length, y1: 1 - when.empty, y2: 1 - when.empty, class: "zero"}),
    svgElement("polyline", {class: "line line0", points: points(when.padded)}));
  if (!when.shorter.includes(null)) {
    svg.append(svgElement("polyline", {class: "line line1", points: points(when.shorter)}));
  }
  if (when.decided) {
    svg.append(svgElement("line", {x1: when.decided - 0.5, x2: when.decided - 0.5, y1: 0, y2: 1, class: "decided"}));
  }
  return [`P(${state.clip.predicted})`, svg];
}

function showWhen(when) {
  get("when").hidden = !when;
  if (!when) return;
  get("when_sentences").replaceChildren(...when.sentences.map(text => el("li", {}, text)));
  timeline(get("when_timeline"), [["frames", filmStrip()], valueChart(when), ...when.spans.map(bracket),
    prefixChart(when)]);
  get("when_gap").textContent = amount(when.gap);
  const keys = [["key_for", `Shapley value for ${state.clip.target}`], ["key_against", "against it"],
    ["key_line0", "probability if the background follows"], ["key_line1", "if the clip ends there"]];
  get("when_legend").replaceChildren(...keys.map(([key, text]) => el("span", {}, el("i", {className: key}), text)));
}
