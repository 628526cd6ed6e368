// Turns grey levels into colours, on a scale of the clip or of a frame, linear or logarithmic.

const LOG = 100;  // On the logarithmic scale a colour stands for log(1 + LOG * share) / log(1 + LOG).

const isLogarithmic = () => get("log").checked;
const isPerFrame = () => get("per_frame").checked;
const paletteName = map => map.signed ? "diverging" : "heat";

// Returns the end of the colour scale of a map in a frame.
const scaleEnd = (map, frame) => isPerFrame() && map.ends ? map.ends[Math.min(frame, map.ends.length - 1)] : map.limit;

// Returns the share of a scale for each of the 256 grey levels, from −1 to 1. Level 255 stands for the value `peak`.
function sharesOf(signed, peak, end, logarithmic = false) {
  return Array.from({length: 256}, (_, level) => {
    const root = signed ? Math.max(level - 128, -127) / 127 : level / 255;
    const share = Math.min(1, root * root * peak / end);
    return Math.sign(root) * (logarithmic ? Math.log1p(LOG * share) / Math.log1p(LOG) : share);
  });
}

// Returns the colour [red, green, blue] for a share of a scale.
function colourOf(map, share) {
  return palettes[paletteName(map)][Math.round(map.signed ? 127.5 + 127.5 * share : 255 * share)];
}

// Returns the colours of the 256 grey levels of a map in a frame, and how much of the map is seen over the frame at
// each level. At full opacity that is all of it. At a lower opacity it is more where the map is stronger.
function colouring(map, frame) {
  const shares = sharesOf(map.signed, map.peaks[frame], scaleEnd(map, frame), isLogarithmic());
  const opacity = get("opacity").value / 100;
  return {colours: shares.map(share => colourOf(map, share)),
    weights: shares.map(share => Math.min(1, 2 * opacity) * Math.abs(share) ** (1.5 * (1 - opacity)))};
}

// Returns a scale bar, and a function that writes its numbers for a frame.
function scaleBar(map) {
  const stops = run.colours[paletteName(map)].filter((_, place) => place % 15 === 0);
  const [low, middle, high] = ["low", "middle", "high"].map(className => el("span", {className}));
  const ramp = el("span", {className: "ramp"}, middle);
  ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const write = frame => {
    const end = scaleEnd(map, frame), half = (Math.sqrt(1 + LOG) - 1) / LOG;  // the share in the middle of the scale
    low.textContent = map.signed ? amount(-end) : "0";
    high.textContent = amount(end);
    middle.textContent = isLogarithmic() && map.peaks && !map.signed ? amount(half * end) : "";
  };
  write(0);
  return [el("span", {className: "scale"}, low, ramp, high), write];
}

// Returns elements that say what the two colours of a signed map stand for.
function sidesOf(map) {
  if (!map.sides) return [];
  const [against, favour] = map.sides;
  return [el("span", {className: "sides"}, el("span", {}, el("i", {className: "key_blue"}), `blue: ${against}`),
    el("span", {}, el("i", {className: "key_red"}), `red: ${favour}`))];
}

// Returns the caption of a map. A frame whose percentile is 0 has a scale that ends at its largest value.
function scaleText(map) {
  const ends = isPerFrame() && map.ends ? `; the scale of each frame ends at its ${run.percentile}th percentile, or at its `
    + "largest value if that is 0" : map.beyond ? `; the scale ends at the ${run.percentile}th percentile of the clip${
    map.shared ? ", the largest of all classes" : ""}` : "";
  return `${map.unit || "value of the map"}${ends}${map.totals?.some(Boolean) ?? true ? "" : "; 0 everywhere"}`;
}

// Marks the maps whose scale is not the usual one, and shows the sentences that say what that means.
function markScale() {
  get("log_note").hidden = !isLogarithmic();
  get("per_frame_note").hidden = !isPerFrame();
  get("scale_note").hidden = !isLogarithmic() && !isPerFrame();
  get("maps").classList.toggle("other_scale", !get("scale_note").hidden);
}
