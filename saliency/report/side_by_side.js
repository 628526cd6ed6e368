// Shows each clip of two runs: the frame, the maps of A and B, and where B has more saliency than A.

const OPACITY = 0.85;  // of the strongest colour of a map over its frame

const paletteFor = view => palettes[view.signed ? "diverging" : "heat"];

// Returns the colour and the opacity of each of the 256 grey levels of a map in a frame. The levels follow the square
// root of the magnitude, and level 255 stands for the peak of the frame.
function colourTable(view, frame) {
  return Array.from({length: 256}, (_, level) => {
    const root = view.signed ? Math.max(level - 128, -127) / 127 : level / 255;
    const share = Math.min(1, root * root * view.peaks[frame] / view.limit);
    const place = Math.round(view.signed ? 127.5 + 127.5 * Math.sign(root) * share : 255 * share);
    return [paletteFor(view)[place], OPACITY * share ** 0.6];
  });
}

// Draws frame `frame` of a map over the grey frames, or the frame alone if the map has no levels.
function paint(view, {width, height, frames}, frame) {
  const size = width * height, image = new ImageData(width, height), table = view.levels && colourTable(view, frame);
  for (let pixel = 0; pixel < size; pixel++) {
    const at = frame * size + pixel, grey = frames[at], [colour, share] = table ? table[view.levels[at]] : [];
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * pixel + channel] = share ? grey + share * (colour[channel] - grey) : grey;
    }
    image.data[4 * pixel + 3] = 255;
  }
  view.context.putImageData(image, 0, 0);
}

// Returns the caption of a map: its scale and what its values are.
function mapCaption(view) {
  const ramp = el("span", {className: "ramp"}), end = run.percentile;
  const stops = run.colours[view.signed ? "diverging" : "heat"].filter((_, place) => place % 15 === 0);
  ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return [el("span", {className: "scale"}, view.signed ? amount(-view.limit) : "0", ramp, amount(view.limit)),
    el("span", {className: "unit"}, view.unit + (view.beyond ? `; the scale ends at the ${end}th percentile` : ""))];
}

// Returns the chart of the share of saliency per frame in A (solid) and B (dashed).
function shareChart(profiles) {
  const largest = Math.max(...profiles.flat().filter(Number.isFinite)) || 1, length = profiles[0].length;
  const svg = svgElement("svg", {viewBox: `0 0 ${length} 1`, preserveAspectRatio: "none", class: "chart", role: "img",
    "aria-label": "Share of the saliency per frame in A, a solid line, and in B, a dashed line"});
  svg.append(...profiles.map((values, line) => svgElement("polyline", {class: `line line${line}`, points: values.map(
    (value, frame) => value === null ? "" : `${frame + 0.5},${1 - value / largest}`).join(" ")})));
  return svg;
}

function clipFacts(about) {
  const changed = about.predicted[0] !== about.predicted[1];
  const side = place => `${"AB"[place]}: ${about.predicted[place] ?? "n/a"}, explained ${about.target[place] ?? "n/a"} `
    + `(probability ${number(about.probability[place])})`;
  return el("p", {className: "clip_facts"}, about.label ? `label ${about.label} · ` : "", side(0), " · ", side(1),
    ...(changed ? [" · ", el("span", {className: "changed"}, "the prediction changed")] : []),
    ` · rank correlation of the maps ${number(about.agreement)}`);
}

// Returns the element of a clip. Its pictures are decoded when it comes into view.
function clipItem(about) {
  const views = el("div", {className: "maps"}), text = el("span", {}, "Frame");
  const slider = el("input", {type: "range", min: 1, max: about.shape[0], step: 1, value: about.best});
  slider.setAttribute("aria-label", `Frame of ${about.clip}`);
  const chartPlace = el("div", {});
  const item = el("li", {className: "clip"}, el("h3", {}, about.clip), clipFacts(about), views,
    el("div", {className: "player"}, el("label", {className: "wide"}, text, slider)), chartPlace);
  const observer = new IntersectionObserver(async entries => {
    if (!entries.some(entry => entry.isIntersecting)) return;
    observer.disconnect();
    await fillClip(item, about, {views, text, slider, chartPlace});
    item.dataset.ready = "true";
  }, {rootMargin: "600px"});
  observer.observe(item);
  return item;
}

async function fillClip(item, about, {views, text, slider, chartPlace}) {
  const line = JSON.parse(lines[about.line]), [length, height, width] = about.shape;
  const [frames, ...levels] = await Promise.all([decode(line.frames, length, width, height),
    ...line.maps.map(map => decode(map.sheet, length, width, height))]);
  const clip = {width, height, frames};
  const drawn = [{title: "Frame"}, ...line.maps.map((map, place) => ({...map, title: map.name, levels: levels[place]}))];
  for (const view of drawn) {
    const canvas = el("canvas", {width, height, role: "img"});
    const caption = view.levels ? mapCaption(view) : [];
    views.append(el("figure", {}, canvas, el("figcaption", {}, el("strong", {}, view.title), ...caption)));
    Object.assign(view, {canvas, context: canvas.getContext("2d")});
  }
  balanceRows(views);
  chartPlace.append(shareChart(line.profiles), el("div", {className: "legend"},
    ...["A: share of its saliency per frame", "B"].map((name, place) =>
      el("span", {}, el("i", {className: `key_line${place}`}), name))));
  const show = () => {
    const frame = slider.value - 1;
    text.textContent = `Frame ${frame + 1} of ${length}`;
    slider.setAttribute("aria-valuetext", text.textContent);
    for (const view of drawn) {
      paint(view, clip, frame);
      view.canvas.setAttribute("aria-label", `${view.title}, frame ${frame + 1} of ${length}`);
    }
  };
  slider.addEventListener("input", show);
  show();
}

function drawClips() {
  const changed = get("shown").value === "changed", byAgreement = get("sort").value === "agreement";
  const shown = run.clips.filter(about => !changed || about.predicted[0] !== about.predicted[1]);
  shown.sort((one, other) => byAgreement ? (one.agreement ?? Infinity) - (other.agreement ?? Infinity)
    : one.clip.localeCompare(other.clip, "en", {numeric: true}));
  get("clips").replaceChildren(...shown.map(clipItem));
  get("count").textContent = `Shown: ${shown.length} of ${counted(run.clips.length, "clip")}. Each `
    + "opens at the frame where the two maps differ most.";
}

get("filters").addEventListener("change", drawClips);
drawClips();
