// Connects the buttons, sliders and keys of the panel.

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
const turn = step => openClip(shownClips[shownClips.indexOf(state.clip) + step]);

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select, #opacity, .scroll")) return;
  const moves = {ArrowLeft: state.frame - 1, ArrowRight: state.frame + 1, Home: 0, End: state.length - 1};
  if (event.key in moves) showFrame(moves[event.key]);
  else if (event.key === " " && !event.target.matches("button, input[type=checkbox]")) togglePlay();
  else return;
  event.preventDefault();
}

function connectControls() {
  panel.addEventListener("keydown", onKey);
  panel.addEventListener("close", stop);
  get("play").addEventListener("click", togglePlay);
  get("close").addEventListener("click", () => panel.close());
  get("previous").addEventListener("click", () => turn(-1));
  get("next").addEventListener("click", () => turn(1));
  get("time").addEventListener("input", () => showFrame(get("time").value - 1));
  get("speed").addEventListener("change", () => state.timer !== null && play());
  get("outline").addEventListener("change", () => showFrame(state.frame));
  get("opacity").addEventListener("input", () => showFrame(state.frame));
  for (const name of ["log", "per_frame"]) {
    get(name).addEventListener("change", () => { showClip(); showFrame(state.frame); });
  }
  for (const name of ["explained", "about"]) get(name).addEventListener("change", changeChoice);
  get("to_peak").addEventListener("click", () => showFrame(peakFrame()));
  get("to_motion").addEventListener("click", () => showFrame(largestPlace(flowOf(state.line).totals)));
}
