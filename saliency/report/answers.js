// Shows the answers about the leading map of a clip: which frames, which pixels, for or against, which features, how
// far to trust them. saliency/report/sentences.py writes them.

const FIRST = ["When?", "Where?"];  // the questions that are answered above the maps

function showAnswers(line, shown) {
  const map = leadMap(shown), answers = {...map?.answers};
  if (!run.compared) answers["Which features?"] = line.which_features;
  const item = question => el("div", {}, el("dt", {}, question), el("dd", {}, ...withFlags(answers[question])));
  for (const [id, isHere] of [["first_answers", name => FIRST.includes(name)], ["answers", name => !FIRST.includes(name)]]) {
    get(id).hidden = !map?.answers;  // as for the difference of two classes
    get(id).replaceChildren(...Object.keys(answers).filter(isHere).map(item));
  }
}
