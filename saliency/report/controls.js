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

// Opens the clip that lies so many places further in the strip, if there is one.
function turn(step) {
  const clip = shownClips[shownClips.indexOf(state.clip) + step];
  if (clip) openClip(clip);
}

function onKey(event) {
  const elsewhere = "select, #opacity, .scroll, summary, #run *";
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches(elsewhere)) return;
  const moves = {ArrowLeft: state.frame - 1, ArrowRight: state.frame + 1, Home: 0, End: state.length - 1};
  if (event.key in moves) showFrame(moves[event.key]);
  else if (event.key === "n" || event.key === "p") turn(event.key === "n" ? 1 : -1);
  else if (event.key === " " && !event.target.matches("button, input[type=checkbox]")) togglePlay();
  else return;
  event.preventDefault();
}

function connectControls() {
  document.addEventListener("keydown", onKey);
  get("play").addEventListener("click", togglePlay);
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
