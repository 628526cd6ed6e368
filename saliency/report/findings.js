// Shows what was found, with links to the figures behind it, and the comparison with random weights.

const SECTIONS = {comparison: "comparison", clips: "panel", sanity: "sanity_part", deletion: "deletion_part"};
const SANITY = {trained: "AUC, trained", random_head: "AUC, random head", difference: "Difference",
  correlation: "Correlation over the clip", within_frames: "Correlation within frames"};

function describeFindings() {
  get("findings").append(...run.findings.map(({text, section, metric}) => {
    const place = get(SECTIONS[section]), link = el("a", {href: `#${place.id}`}, "Figures");
    link.addEventListener("click", () => {
      if ("open" in place) place.open = true;
      if (metric) showMetric(metric);
    });
    return el("li", {}, ...withFlags(text), ...place.hidden ? [] : [" ", link]);
  }));
}

function describeSanity() {
  const names = Object.keys(run.random_head);
  get("sanity_part").hidden = !names.length;
  fillTable(get("random_head"), "Number", names, Object.entries(SANITY).map(([key, name]) =>
    [name, ...names.map(method => typeof run.random_head[method][key]?.mean === "number"
      ? interval(run.random_head[method][key]) : "undefined")]));
  get("sanity_sentences").append(...run.sentences.map(text => el("li", {}, text)));
}
