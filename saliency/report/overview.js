// Shows what the clips have in common: mean profiles in time per class, and the features used most often.

const VERDICTS = {right: "right predictions", wrong: "wrong predictions", none: "clips without a label"};

// Returns the shapes of a group of clips in a chart of `steps` by 1: its interval, if it has one, and its mean.
function profileShapes({mean, low, high, kind}, largest) {
  const at = (values, places) => places.map(place => `${place + 0.5},${1 - values[place] / largest}`).join(" ");
  const places = mean.map((_, place) => place), shapes = [];
  if (low.every(Number.isFinite)) {
    shapes.push(svgElement("polygon", {class: `profile_${kind}`,
      points: `${at(high, places)} ${at(low, [...places].reverse())}`}));
  }
  return [...shapes, svgElement("polyline", {class: `profile_${kind}`, points: at(mean, places)})];
}

// Returns the chart of a class; `groups` are its right and its wrong predictions.
function profileChart(name, groups, largest, relative) {
  const steps = groups[0].mean.length, svg = svgElement("svg", {viewBox: `0 0 ${steps} 1`, class: "chart", role: "img",
    preserveAspectRatio: "none", "aria-label": `Mean share of the saliency over time, ${name}`});
  const even = 1 - 1 / steps / largest;
  svg.append(svgElement("line", {class: "zero", x1: 0, x2: steps, y1: even, y2: even}));
  svg.append(...groups.flatMap(group => profileShapes(group, largest)));
  const legend = groups.map(({kind, n, low}) => el("span", {}, el("i", {className: `profile_${kind}`}),
    `${VERDICTS[kind]}, n = ${n}` + (low.every(Number.isFinite) ? "" : ", no interval")));
  const ends = relative ? ["0", "relative time", "1"] : ["1", "frame", String(steps)];
  return el("figure", {}, el("strong", {}, name), el("div", {}, `0 to ${amount(largest)} of the saliency`), svg,
    el("div", {className: "ends"}, ...ends.map(text => el("span", {}, text))),
    el("div", {className: "legend"}, ...legend));
}

function describeProfiles({method, relative, left_out: leftOut, units, groups}) {
  const clips = groups.reduce((sum, {n}) => sum + n, 0);
  get("profiles_left").textContent = leftOut
    ? `Left out: ${counted(leftOut, "clip")} without this map, or with a map that is 0.` : "";
  get("overview").hidden = clips < 2;
  if (clips < 2) return;
  get("profiles_method").textContent = words(method);
  get("of_frames").hidden = relative;
  get("of_steps").hidden = !relative;
  const largest = Math.max(...groups.flatMap(({mean, high}) => [...mean, ...high])) || 1, classes = new Map();
  for (const group of groups) {
    const name = group.label ? `True class ${group.label}` : `No label, predicted ${group.predicted}`;
    classes.set(name, [...classes.get(name) ?? [], {...group, kind: group.verdict || "none"}]);
  }
  get("profiles").append(...[...classes].map(([name, own]) => profileChart(name, own, largest, relative)));
}

function describeOften({method, clips, count, top, features}) {
  get("often_part").hidden = false;
  get("often_top").textContent = top;
  get("often_method").textContent = words(method);
  get("often_note").textContent = `With ${counted(count, "feature")}, an even share would be ${amount(100 / count)} %.`;
  get("often").append(...features.map(({feature, clips: used, share, examples}) => el("li", {},
    el("strong", {}, `Feature ${feature}`),
    ` in ${used} of ${counted(clips, "clip")}, ${clips > 1 ? "mean share" : "share"} ${amount(100 * share)} %`,
    el("div", {className: "examples"}, ...examples.map(({clip: name, frame, value, picture}) => el("figure", {},
      el("img", {src: picture, alt: `${name}, frame ${frame}`}),
      el("figcaption", {}, `${name}, frame ${frame}, value ${amount(value)}`)))))));
}

function describeOverview() {
  describeProfiles(run.overview.profiles);
  if (run.overview.features) describeOften(run.overview.features);
}
