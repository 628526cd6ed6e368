// Opens a clip and shows one frame of all its maps at a time.

const panel = get("panel");

// The open clip and its line, the number of the frame that is shown (from 0), the maps with their canvases, the cursors
// and bars of the charts over time, and the timer of the player.
const state = {clip: null, line: null, frame: 0, length: 0, maps: [], cursors: [], bars: [], timer: null};

function describeClip(clip) {
  get("clip_name").textContent = clip.clip ?? "no name";
  get("verdict").replaceChildren(el("strong", {}, clip.headline), ` ${clip.heading}`);
  get("clip_facts").textContent = clip.stated;
  markCard();
  get("clip_problem").textContent = "";
  const place = shownClips.indexOf(clip);
  get("previous").disabled = place < 1;
  get("next").disabled = place < 0 || place === shownClips.length - 1;
}

async function openClip(clip) {
  stop();
  state.clip = clip;
  describeClip(clip);
  drawClipMetrics(clip);
  await whileBusy(async () => {
    const line = JSON.parse(lines[run.clips.indexOf(clip)]);
    const [length, height, width] = clip.shape;
    offerClasses(line);
    const frames = await decode(line.frames, length, width, height);
    for (const map of line.features?.maps ?? []) map.levels = await decode(map.sheet, 1, length, map.rows);
    await decodeMaps(line, clip.shape);
    if (state.clip !== clip) return;
    Object.assign(state, {line, length, height, width, frames});
    showClip();
    showFrame(peakFrame());
  });
}

// Marks the panel as busy until `work` has ended. If it fails, the panel says why, unless another clip is open by then.
async function whileBusy(work) {
  const {clip} = state;
  panel.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    if (state.clip !== clip) return;
    get("maps").replaceChildren();
    get("clip_problem").textContent = `The pictures of this clip cannot be shown: ${error.message}`;
  }
  if (state.clip === clip) panel.setAttribute("aria-busy", "false");
}

const flowOf = line => line.maps.find(map => map.name === "flow");

// Decodes the maps of the chosen classes, unless that was done before.
async function decodeMaps(line, [, height, width]) {
  const maps = [...chosenClasses(line).flatMap(each => each.maps), flowOf(line)].filter(map => map?.sheet);
  await Promise.all(maps.map(async map => { map.levels ??= await decode(map.sheet, map.count, width, height); }));
}

// Shows the maps and charts of the open clip for the chosen classes.
function showClip() {
  const {line, width, height} = state, chosen = chosenClasses(line), flow = flowOf(line);
  const several = classesOf(line).length > 1;
  Object.assign(state, {cursors: [], bars: []});
  get("maps").replaceChildren();
  state.maps = [figure(null, "Frame", width, height)];
  for (const each of chosen) {
    const title = map => several ? `${words(map.name)}, ${each.name}` : words(map.name);
    state.maps.push(...each.maps.filter(map => map.sheet).map(map => figure(map, title(map), width, height)));
  }
  if (flow) state.maps.push(figure(flow, words(flow.name), width, height));
  balanceRows(get("maps"));
  state.flow = state.maps.find(map => map.name === "flow");
  get("outline_label").hidden = !state.flow || state.flow.limit <= state.clip.moving;
  get("time").max = state.length;
  get("to_motion").hidden = !flow;
  offerLead(chosen[0]);
  showAnswers(line, chosen[0]);
  showOverTime(chosen, flow);
  showWhen(line.when);
  get("features").hidden = !line.features;
  if (line.features) showFeatures(line.features, flow);
  markScale();
}

// Returns the number, from 0, of the frame with the most saliency, or with the most motion if the clip has no map.
function peakFrame() {
  const map = leadMap(chosenClasses(state.line)[0]);
  return map ? largestPlace(map.totals) : state.clip.thumbnail_frame - 1;
}

// Shows the clip again after another choice of class or map, at the same frame.
async function changeChoice() {
  const {clip, line} = state;
  if (!line) return;
  await whileBusy(async () => {
    await decodeMaps(line, clip.shape);
    if (state.clip !== clip) return;
    showClip();
    showFrame(state.frame);
  });
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
    map.writeScale?.(state.frame);
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
