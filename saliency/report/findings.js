// Shows what was found, with links to the figures behind it, and the comparison with random weights.

const SECTIONS = {comparison: "methods_title", clips: "clips_title", sanity: "sanity_title",
  deletion: "deletion_title"};
const SANITY = {trained: "AUC, trained", random_head: "AUC, random head", difference: "Difference",
  correlation: "Correlation over the clip", within_frames: "Correlation within frames"};

function describeFindings() {
  get("findings_part").hidden = !run.findings.length;
  get("findings").append(...run.findings.map(({text, section, metric}) => {
    const link = el("a", {href: `#${SECTIONS[section]}`}, "Figures");
    link.addEventListener("click", () => metric && showMetric(metric));
    return el("li", {}, ...withFlags(text), " ", link);
  }));
}

function describeSanity() {
  const names = Object.keys(run.random_head);
  get("no_sanity").hidden = names.length > 0;
  get("random_head").hidden = !names.length;
  fillTable(get("random_head"), "Number", names, Object.entries(SANITY).map(([key, name]) =>
    [name, ...names.map(method => typeof run.random_head[method][key]?.mean === "number"
      ? interval(run.random_head[method][key]) : "undefined")]));
  get("sanity_sentences").append(...run.sentences.map(text => el("li", {}, text)));
}
