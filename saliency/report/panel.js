// Opens the panel of a clip and shows one frame of all its maps at a time.

const panel = get("panel");
const COMMON = ["clip", "label", "predicted", "target", "score", "probability", "shape", "thumbnail", "thumbnail_frame",
  "thumbnail_map"];

// The open clip, the number of the frame that is shown (from 0), the maps with their canvases, the cursors and bars of
// the charts over time, and the timer of the player.
const state = {clip: null, frame: 0, length: 0, maps: [], cursors: [], bars: [], timer: null};

function describeClip(clip) {
  get("clip_name").textContent = clip.clip ?? "no name";
  const truth = {right: "✓ right", wrong: "✗ wrong", "": "no label"}[verdict(clip)];
  const further = Object.entries(clip).filter(([name]) => !COMMON.includes(name) && !name.startsWith("when_"));
  get("clip_facts").textContent = [clip.label && `label ${clip.label}`,
    `predicted ${clip.predicted ?? "n/a"} (${truth})`,
    `explained: ${clip.score ?? "score"} of class ${clip.target ?? "n/a"}, probability ${number(clip.probability)}`,
    ...further.map(([name, value]) => `${words(name)} ${amount(value)}`)].filter(Boolean).join(" · ");
  get("clip_problem").textContent = "";
  const place = shownClips.indexOf(clip);
  get("previous").disabled = place < 1;
  get("next").disabled = place < 0 || place === shownClips.length - 1;
}

async function openClip(clip) {
  stop();
  state.clip = clip;
  if (!panel.open) panel.showModal();
  panel.setAttribute("aria-busy", "true");
  describeClip(clip);
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

// Shows the line of a clip. The other arguments hold the grey levels of its frames and maps, and of its features.
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
  showWhen(line.when);
  get("features").hidden = !line.features;
  if (line.features) showFeatures(line.features, features, flow);
  setWeights();
  showFrame(Math.min(state.clip.thumbnail_frame - 1, length - 1));
}

// Shows a frame of every map, and marks it in the charts over time.
function showFrame(frame) {
  state.frame = Math.max(0, Math.min(state.length - 1, frame));
  const text = `Frame ${state.frame + 1} of ${state.length}`;
  for (const map of state.maps) {
    const drawn = state.frame < (map.count ?? state.length);
    map.canvas.setAttribute("aria-label", `${map.title}, ${text.toLowerCase()}${drawn ? "" : ": none"}`);
    if (drawn) map.context.putImageData(frameImage(map, state.frame), 0, 0);
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
  fillTable(get("clip_metrics"), "Metric", shown, rows);
}
