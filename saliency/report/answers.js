// Shows the answers about the leading map of a clip: which frames, which pixels, for or against, which features, how
// far to trust them. saliency/report/sentences.py writes them.

function showAnswers(line, shown) {
  const map = leadMap(shown), answers = {...map?.answers, "Which features?": line.which_features};
  get("answers").hidden = !map?.answers;  // as for the difference of two classes
  get("answers").replaceChildren(...Object.entries(answers).map(([question, answer]) =>
    el("div", {}, el("dt", {}, question), el("dd", {}, ...withFlags(answer)))));
}
