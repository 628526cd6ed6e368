// Shows the deletion and insertion results of the run.

const DELETION = /^(deletion|insertion|comprehensiveness|sufficiency|log_odds|aopc)_/;

function describeDeletion() {
  const names = [...new Set(methods.flatMap(method => Object.keys(run.summary[method] ?? {})))]
    .filter(name => DELETION.test(name));
  const shown = methods.filter(method => names.some(name => run.summary[method]?.[name]));
  const gains = names.filter(name => name.endsWith("_gain")), others = names.filter(name => !gains.includes(name));
  get("deletion_part").hidden = !names.length;
  fillTable(get("deletion"), "Number", shown, [...gains, ...others].map(name =>
    [name, ...shown.map(method => interval(run.summary[method][name]))]));
}
