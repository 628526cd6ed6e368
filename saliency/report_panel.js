// The panel of one clip: its maps, the slider through time, the charts over time, its metrics.

const panel = get("panel");
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
    const pixels = context.getImageData(tile % columns * width, Math.floor(tile / columns) * height, width, height).data;
    for (let place = 0; place < width * height; place++) levels[tile * width * height + place] = pixels[4 * place];
  }
  return levels;
}

const colours = map => palettes[map.signed ? "diverging" : "heat"];

function scaleBar(map) {
  const ramp = el("span", {className: "ramp"}), stops = run.colours[map.signed ? "diverging" : "heat"];
  ramp.style.background = `linear-gradient(to right, ${stops.filter((_, place) => place % 15 === 0).join(", ")})`;
  return el("span", {className: "scale"}, map.signed ? number(-map.limit) : "0", ramp, number(map.limit));
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
  get("clip_facts").textContent = [clip.label && `label ${clip.label}`, `predicted ${clip.predicted ?? "n/a"} (${truth})`,
    `explained: ${clip.target ?? "n/a"}`, `score ${typeof clip.score === "number" ? number(clip.score) : clip.score}`,
    `probability ${number(clip.probability)}`].filter(Boolean).join(" · ");
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
  const lines = [first && [`Sum of ${first.name}`, first.totals], flow && ["Sum of optical flow", flow.totals]];
  timeline(get("timeline"), [["frames", filmStrip()], ...chart(get("legend"), line.time_contribution, lines)]);
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
  const series = [["Sum of |dS/df|", features.totals], flow && ["Sum of optical flow", flow.totals]];
  timeline(get("feature_timeline"), [...heat, ...chart(get("feature_legend"), features.time_contribution, series)]);
  get("feature_legend").append(...features.maps.map(map => el("span", {}, `${words(map.name)}: `, scaleBar(map),
    ` ${scaleText(map)}`)));
  get("feature_note").textContent = `${rows} of ${features.count} features, a row each; the row with the largest total `
    + `of ${features.maps[0].name} is on top. Time runs across, as above.`;
}

// ---- charts over time

function filmStrip() {
  const {length, width, height, frames} = state, canvas = el("canvas", {width: length * width, height, className: "film",
    role: "img", "aria-label": `The ${length} frames side by side`});
  const context = canvas.getContext("2d"), image = context.createImageData(length * width, height);
  for (let place = 0; place < frames.length; place++) {
    const tile = Math.floor(place / (width * height)), row = Math.floor(place / width) % height;
    image.data.fill(frames[place], 4 * (row * length * width + tile * width + place % width)).fill(255, 0, 0);
  }
  return canvas;
}
