// Fills the head of the page: what was run, with which options, and what cannot be shown.

// Returns the settings of temporal saliency rescaling. With --tsr_step time it masks whole frames and no patches.
function tsrText(option) {
  const patches = [`patch ${option.tsr_patch}`, `quantile ${option.tsr_quantile}`];
  const masked = option.tsr_step === "time" ? ["frames only"] : patches;
  const rescaled = run.clips.find(clip => clip.tsr_base)?.tsr_base, base = rescaled ? ` of ${words(rescaled)}` : "";
  return `TSR${base} (${[...masked, `fill ${option.tsr_fill}`].join(", ")})`;
}

// Returns the words for a value of --target.
const targetText = target => ["predicted", "label"].includes(target) ? `the ${target} class`
  : target === "all" ? "the predicted class, then all others" : `class ${target}`;

// Returns {name: text} of the facts about the run; a fact that is unknown has no text.
function runFacts(data) {
  const option = run.recipe.options ?? {}, versions = run.recipe.versions ?? {};
  return {
    Model: [option.model, option.resume_path].filter(Boolean).join(", "),
    Data: option.video?.length ? data : [data, option.annotation_path].filter(Boolean).join(", "),
    Explained: option.score && `${option.score} of ${[option.target].flat().map(targetText).join(", then ")}`,
    Method: [option.method, (option.tsr || option.method === "tsr") && tsrText(option)].filter(Boolean).join(", "),
    [`${words(mainMethod ?? "")} ${metricName(mainMetric)}`]: interval(run.summary[mainMethod]?.[mainMetric]),
    Versions: Object.entries(versions).map(pair => pair.join(" ")).join(", "),
    Commit: run.recipe.commit?.slice(0, 12),
  };
}

function listOptions() {
  for (const [name, recipe] of [["Frame saliency", run.recipe], ["Feature saliency", run.feature_recipe]]) {
    for (const [part, content] of Object.entries(recipe)) {
      const entries = content && typeof content === "object" ? Object.entries(content) : [[part, content]];
      get("recipe").append(el("h3", {}, `${name}: ${part}`), el("dl", {}, ...entries.flatMap(([key, value]) =>
        [el("dt", {}, key), el("dd", {}, typeof value === "string" ? value : JSON.stringify(value))])));
    }
  }
}

function describeRun() {
  const option = run.recipe.options ?? {};
  const files = option.video?.map(path => path.split(/[\\/]/).pop()); // The title has no room for whole paths.
  const data = (files?.length ? files : [option.dataset, option.subset]).filter(Boolean).join(", ");
  get("title").textContent = counted(run.clips.length, "clip") + (data ? `, ${data}` : "");
  document.title = `Saliency report: ${data || "frames"}`;
  for (const part of document.querySelectorAll("details.part[id]")) part.open = run.clips.length > 1;
  get("lead").textContent = run.lead;
  for (const [name, text] of Object.entries(runFacts(data))) {
    if (text && text !== "n/a") get("facts").append(el("div", {}, el("dt", {}, name), el("dd", {}, text)));
  }
  listOptions();
  get("missing").append(...run.missing.map(text => el("li", {}, ...withFlags(text))));
  get("problems").hidden = !run.problems.length;
  get("problems").append(...run.problems.map(text => el("li", {}, text)));
}
