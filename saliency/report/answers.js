// Answers in a few sentences, about one clip: which frames, which pixels, which features, for or against, how far to
// trust the answers.

const percent = share => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;
const sum = values => values.reduce((total, value) => total + (value ?? 0), 0);

// Returns the shortest range [first, last], from 0, whose values hold at least half of the sum; the earliest of equals.
function halfRange(values) {
  let best = [0, values.length - 1];
  for (let first = 0; first < values.length; first++) {
    let held = 0;
    for (let last = first; last < values.length && last - first < best[1] - best[0]; last++) {
      held += values[last] ?? 0;
      if (held >= sum(values) / 2) best = [first, last];
    }
  }
  return best;
}

function whichFrames(map, when) {
  const [first, last] = halfRange(map.totals).map(frame => frame + 1), peak = largestPlace(map.totals) + 1;
  if (!sum(map.totals)) return `${words(map.name)} is 0 in all frames.`;
  const range = first === last ? `Frame ${first} holds` : `Frames ${first} to ${last} hold`;
  return `${words(map.name)} is strongest in frame ${peak}. ${range} half of it, of ${state.length} frames. `
    + (when?.sentences[0] ?? "");
}

function whichPixels(own) {
  const {mass_accuracy_flow_frame: inside, flow_share_frame: share, auc_flow_frame: auc} = own;
  if (typeof auc !== "number") return "The agreement with the optical flow was not measured; the maps show the pixels.";
  const mass = typeof inside !== "number" || typeof share !== "number" ? ""
    : `Moving pixels are ${percent(share)} of a frame and hold ${percent(inside)} of the saliency. `;
  return `${mass}AUC against the optical flow ${number(auc)}; chance is 0.5.`;
}

function whichSide(map, shown) {
  if (!map.for) {
    return "This map has no sign. --signed adds maps with one, for methods such as occlusion_block.";
  }
  const [favour, against] = [sum(map.for), sum(map.against)], all = favour + against;
  if (!all) return `The map is 0 everywhere for ${shown.name}.`;
  return `${percent(favour / all)} of the sum is ${map.sides[1]} (red), ${percent(against / all)} is ${map.sides[0]} `
    + `(blue). The two together give ${amount(favour - against)}.`;
}

function whichFeatures(features) {
  if (!features) return "No features here; feature_saliency.py on the same clips adds them to this page.";
  const first = features.top.slice(0, 3), held = sum(first.map(([, share]) => share));
  return `Features ${first.map(([name]) => name).join(", ")} are the strongest of ${features.count} and hold `
    + `${percent(held)} of the sum of |${features.maps[0].name}|.`;
}

function howFar(method) {
  const {difference, correlation} = run.random_head[method] ?? {}, own = run.summary[method] ?? {};
  const gains = ["frame", "patch"].filter(unit => typeof own[`deletion_${unit}_gain`]?.mean === "number")
    .map(unit => `${number(own[`deletion_${unit}_gain`].mean)} by ${unit}`);
  const deletion = gains.length ? ` Gain of deletion over random order: ${gains.join(", ")}; above 0 is good.` : "";
  if (difference && difference.mean == null) return `The comparison with random weights is undefined.${deletion}`;
  if (!difference) return `Maps of random weights were not compared (--sanity).${deletion}`;
  return `Of the AUC over the run, ${number(difference.mean)} is due to the classifier; the rest remains with a random `
    + `head, whose map has a rank correlation of ${number(correlation?.mean)} with this one.${deletion}`;
}

// Fills the list of questions and answers for the shown class.
function showAnswers(line, shown) {
  const map = leadMap(shown);
  get("answers").hidden = !map;
  if (!map) return;
  const method = map.name.replace(/, evidence$/, ""), own = run.metrics[state.clip.clip]?.[method] ?? {};
  const first = shown.name === state.clip.target;
  const answers = {"Which frames?": whichFrames(map, first ? line.when : null), "Which pixels?": first ? whichPixels(own)
    : "The metrics are those of the first class; the maps show the pixels.",
  "For or against?": whichSide(map, shown), "Which features?": whichFeatures(line.features),
  "How far to trust it?": howFar(method)};
  get("answers").replaceChildren(...Object.entries(answers).map(([question, answer]) =>
    el("div", {}, el("dt", {}, question), el("dd", {}, ...withFlags(answer)))));
}
