// The panel of one clip: its maps, the slider through time, the charts over time, its metrics.

const panel = get("panel");
const COMMON = ["clip", "label", "predicted", "target", "score", "probability", "shape", "thumbnail", "thumbnail_frame",
  "thumbnail_map"];
const state = {clip: null, frame: 0, length: 0, maps: [], cursors: [], bars: [], timer: null};

// The grey levels of `count` tiles of a sheet, tile after tile: Uint8Array of count * height * width.
async function decode(sheet, count, width, height) {
  const image = new Image();
  image.src = sheet;
  await image.decode();
  const context = el("canvas", {width: image.width, height: image.height}).getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const columns = Math.ceil(Math.sqrt(count)), levels = new Uint8Array(count * width * height);
  for (let tile = 0; tile < count; tile++) {
    const left = tile % columns * width, top = Math.floor(tile / columns) * height;
    const pixels = context.getImageData(left, top, width, height).data;
    for (let place = 0; place < width * height; place++) levels[tile * width * height + place] = pixels[4 * place];
  }
  return levels;
}

const colours = map => palettes[map.signed ? "diverging" : "heat"];

function scaleBar(map) {
  const ramp = el("span", {className: "ramp"}), stops = run.colours[map.signed ? "diverging" : "heat"];
  ramp.style.background = `linear-gradient(to right, ${stops.filter((_, place) => place % 15 === 0).join(", ")})`;
  return el("span", {className: "scale"}, map.signed ? amount(-map.limit) : "0", ramp, amount(map.limit));
}

function scaleText(map) {
  const end = map.beyond ? `; the scale ends at the ${run.percentile}th percentile of the clip` : "";
  return `${map.unit || "value of the map"}${end}`;
}

function figure(map, title, width, height) {
  const canvas = el("canvas", {width, height, role: "img"});
  const caption = map ? [scaleBar(map), el("span", {className: "unit"}, scaleText(map))] : [];
  get("maps").append(el("figure", {}, canvas, el("figcaption", {}, el("strong", {}, title), ...caption)));
  return {...map, title, canvas, context: canvas.getContext("2d")};
}

async function openClip(clip) {
  stop();
  state.clip = clip;
  if (!panel.open) panel.showModal();
  panel.setAttribute("aria-busy", "true");
  get("clip_name").textContent = clip.clip ?? "no name";
  const truth = {right: "✓ right", wrong: "✗ wrong", "": "no label"}[verdict(clip)];
  const further = Object.entries(clip).filter(([name]) => !COMMON.includes(name));
  get("clip_facts").textContent = [clip.label && `label ${clip.label}`,
    `predicted ${clip.predicted ?? "n/a"} (${truth})`,
    `explained: ${clip.score ?? "score"} of class ${clip.target ?? "n/a"}, probability ${number(clip.probability)}`,
    ...further.map(([name, value]) => `${words(name)} ${amount(value)}`)].filter(Boolean).join(" · ");
  get("clip_problem").textContent = "";
  const place = gallery.indexOf(clip);
  get("previous").disabled = place < 1;
  get("next").disabled = place < 0 || place === gallery.length - 1;
  drawClipMetrics(clip);
  try {
    const line = JSON.parse(lines[run.clips.indexOf(clip)]);
    const [length, height, width] = clip.shape;
    const decoded = await Promise.all([decode(line.frames, length, width, height),
      ...line.maps.map(map => decode(map.sheet, map.count, width, height))]);
    const features = await Promise.all((line.features?.maps ?? []).map(map => decode(map.sheet, 1, length, map.rows)));
    if (state.clip !== clip) return;
    showClip(line, decoded, features);
  } catch (error) {
    if (state.clip !== clip) return;
    get("maps").replaceChildren();
    get("clip_problem").textContent = `The pictures of this clip cannot be shown: ${error.message}`;
  }
  panel.setAttribute("aria-busy", "false");
}

function showClip(line, [frames, ...levels], features) {
  const [length, height, width] = state.clip.shape;
  Object.assign(state, {length, height, width, frames, cursors: [], bars: []});
  get("maps").replaceChildren();
  state.maps = [figure(null, "Frame", width, height),
    ...line.maps.map((map, place) => ({...figure(map, words(map.name), width, height), levels: levels[place]}))];
  state.flow = state.maps.find(map => map.name === "flow");
  get("outline_label").hidden = !state.flow || state.flow.limit <= 1;
  get("time").max = length;
  const [first] = line.maps.filter(map => map.name !== "flow");
  const flow = line.maps.find(map => map.name === "flow");
  const series = [first && [`Sum of ${first.name}`, first.totals], flow && ["Sum of optical flow", flow.totals]];
  timeline(get("timeline"), [["frames", filmStrip()], ...chart(get("legend"), line.time_contribution, series)]);
  get("features").hidden = !line.features;
  if (line.features) showFeatures(line.features, features, flow);
  weigh();
  showFrame(Math.min(state.clip.thumbnail_frame - 1, length - 1));
}

function showFeatures(features, levels, flow) {
  const [{rows}] = features.maps;
  const heat = features.maps.map((map, place) => {
    const canvas = el("canvas", {width: state.length, height: map.rows, className: "heat", role: "img",
      "aria-label": `${words(map.name)} of ${map.rows} features (down) in ${state.length} frames (across)`});
    const context = canvas.getContext("2d"), image = context.createImageData(state.length, map.rows);
    levels[place].forEach((level, pixel) => image.data.set([...colours(map)[level], 255], 4 * pixel));
    context.putImageData(image, 0, 0);
    return [words(map.name), canvas];
  });
  const series = [[`Sum of |${features.maps[0].name}|`, features.totals], flow && ["Sum of optical flow", flow.totals]];
  timeline(get("feature_timeline"), [...heat, ...chart(get("feature_legend"), features.time_contribution, series)]);
  get("feature_legend").append(...features.maps.map(map => el("span", {}, `${words(map.name)}: `, scaleBar(map),
    ` ${scaleText(map)}`)));
  get("feature_note").textContent = `${rows} of ${features.count} features, a row each; the row with the largest total `
    + `of ${features.maps[0].name} is on top. Time runs across, as above.`;
  const own = Object.entries(run.feature_metrics[state.clip.clip] ?? {});
  table(get("feature_metrics"), "Metric", [features.maps[0].name], own.map(([name, value]) => [name, number(value)]));
  get("feature_metrics").hidden = !own.length;
}

// ---- charts over time

function filmStrip() {
  const {length, width, height} = state, wide = Math.max(1, Math.min(width, Math.floor(16000 / length)));
  const tall = Math.ceil(wide * height / width), [{canvas, context}] = state.maps;
  const film = el("canvas", {width: length * wide, height: tall, className: "film", role: "img",
    "aria-label": `The ${length} frames side by side`});
  for (let frame = 0; frame < length; frame++) {
    context.putImageData(tile({}, frame), 0, 0);
    film.getContext("2d").drawImage(canvas, frame * wide, 0, wide, tall);
  }
  return film;
}

// A row for `timeline`: bars, and up to two lines, solid and dashed, scaled to their largest value. `series` holds
// [name, a number per frame or null] or undefined; without a contribution the first of them makes the bars.
function chart(legend, contribution, series) {
  const shares = series.filter(Boolean).map(([name, values]) => {
    const largest = Math.max(...values);
    return [`${name}, share of the largest (${amount(largest)})`, values.map(value => value && value / largest)];
  });
  if (contribution) shares.unshift(["Time contribution (TSR)", contribution]);
  if (!shares.length) return [];
  const [[name, heights], ...others] = shares, best = heights.indexOf(Math.max(...heights)) + 1;
  const svg = shape("svg", {viewBox: `0 0 ${state.length} 1`, preserveAspectRatio: "none", class: "chart", role: "img",
    "aria-label": `${name}, frame by frame; the highest is frame ${best}. A click goes to a frame.`});
  const bars = heights.map((value, frame) => shape("rect", {x: frame + 0.12, width: 0.76, y: 1 - (value ?? 1),
    height: value ?? 1, class: value === null ? "undefined" : "bar"}));
  svg.append(...bars, ...others.map(([, values], line) => shape("polyline", {class: `line line${line}`,
    points: values.map((value, frame) => value === null ? "" : `${frame + 0.5},${1 - value}`).join(" ")})));
  state.bars.push(bars);
  const keys = [["bar", name], ...others.map(([text], line) => [`line${line}`, text])];
  if (heights.includes(null)) keys.push(["undefined", "undefined"]);
  legend.replaceChildren(...keys.map(([key, text]) => el("span", {}, el("i", {className: `key_${key}`}), text)));
  return [["share, 0 to 1", svg]];
}

// Rows of [label, node] above one axis of frames; a click or a drag goes to a frame.
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

// ---- pictures

// How much of the map's colour covers the frame at each level: all of it at opacity 1, below that more where the map
// is strong.
function weigh() {
  const opacity = get("opacity").value / 100;
  for (const map of state.maps) {
    map.weights = Array.from({length: 256}, (_, level) => Math.min(1, 2 * opacity)
      * (map.signed ? Math.abs(level - 128) / 127 : level / 255) ** (1.5 * (1 - opacity)));
  }
}

function tile(map, frame) {
  const {width, height, frames, flow} = state, size = width * height, start = frame * size;
  const image = new ImageData(width, height), palette = map.levels && colours(map);
  const outlined = get("outline").checked && map.levels && map !== flow && flow?.count > frame;
  const fast = outlined ? 255 / flow.limit : Infinity;  // the level of 1 pixel per frame
  for (let pixel = 0; pixel < size; pixel++) {
    const at = start + pixel, grey = frames[at], level = map.levels?.[at], weight = map.levels ? map.weights[level] : 0;
    const edge = fast < 255 && flow.levels[at] > fast && (flow.levels[at - 1] <= fast || flow.levels[at + 1] <= fast
      || flow.levels[at - width] <= fast || flow.levels[at + width] <= fast);
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * pixel + channel] = edge ? OUTLINE[channel]
        : weight ? grey + weight * (palette[level][channel] - grey) : grey;
    }
    image.data[4 * pixel + 3] = 255;
  }
  return image;
}

function showFrame(frame) {
  state.frame = Math.max(0, Math.min(state.length - 1, frame));
  const text = `Frame ${state.frame + 1} of ${state.length}`;
  for (const map of state.maps) {
    const drawn = state.frame < (map.count ?? state.length);
    map.canvas.setAttribute("aria-label", `${map.title}, ${text.toLowerCase()}${drawn ? "" : ": none"}`);
    if (drawn) map.context.putImageData(tile(map, state.frame), 0, 0);
    else map.context.clearRect(0, 0, state.width, state.height);
  }
  get("time").value = state.frame + 1;
  get("time").setAttribute("aria-valuetext", text);
  get("frame_text").textContent = text;
  for (const cursor of state.cursors) {
    cursor.style.left = `${100 * state.frame / state.length}%`;
    cursor.style.width = `${100 / state.length}%`;
  }
  for (const bars of state.bars) bars.forEach((bar, place) => bar.classList.toggle("current", place === state.frame));
}

function drawClipMetrics(clip) {
  const own = run.metrics[clip.clip] ?? {}, names = [...new Set(Object.values(own).flatMap(Object.keys))];
  const shown = methods.filter(method => own[method]);
  get("clip_metrics_section").hidden = !names.length;
  const rows = names.map(name => [name, ...shown.map(method => number(own[method][name]))]);
  table(get("clip_metrics"), "Metric", shown, rows);
}

// ---- controls

function stop() {
  clearInterval(state.timer);
  state.timer = null;
  get("play").textContent = "Play";
}

function play() {
  stop();
  state.timer = setInterval(() => showFrame((state.frame + 1) % state.length), 1000 / get("speed").value);
  get("play").textContent = "Pause";
}

const togglePlay = () => state.timer === null ? play() : stop();
const turn = step => openClip(gallery[gallery.indexOf(state.clip) + step]);

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select, #opacity, .scroll")) return;
  const moves = {ArrowLeft: state.frame - 1, ArrowRight: state.frame + 1, Home: 0, End: state.length - 1};
  if (event.key in moves) showFrame(moves[event.key]);
  else if (event.key === " " && !event.target.matches("button, input[type=checkbox]")) togglePlay();
  else return;
  event.preventDefault();
}

panel.addEventListener("keydown", onKey);
panel.addEventListener("close", stop);
get("play").addEventListener("click", togglePlay);
get("close").addEventListener("click", () => panel.close());
get("previous").addEventListener("click", () => turn(-1));
get("next").addEventListener("click", () => turn(1));
get("time").addEventListener("input", () => showFrame(get("time").value - 1));
get("speed").addEventListener("change", () => state.timer !== null && play());
get("outline").addEventListener("change", () => showFrame(state.frame));
get("opacity").addEventListener("input", () => { weigh(); showFrame(state.frame); });

describeRun();
describeMethods();
describeFeatures();
describeGallery();
