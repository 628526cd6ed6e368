// Chooses the explained class of the open clip, and the map that the charts and the answers are about.

const BESIDE = "side by side";

// Returns the explained classes of a line, and the differences of the first from each other class.
function classesOf(line) {
  const maps = line.maps.filter(map => map.name !== "flow");
  const first = {name: state.clip.shown_as ?? state.clip.target ?? "n/a", probability: state.clip.probability, maps,
    time_contribution: line.time_contribution};
  return [first, ...line.others ?? []];
}

// Offers the explained classes of the open clip, and keeps the choice of the clip before if this clip has it too.
function offerClasses(line) {
  const classes = classesOf(line), before = get("explained").value;
  const text = each => each.probability == null ? each.name : `${each.name} (probability ${number(each.probability)})`;
  get("explained").replaceChildren(...options([...classes.map(each => [each.name, text(each)]), [BESIDE, BESIDE]]));
  get("explained").value = [...classes.map(each => each.name), BESIDE].includes(before) ? before
    : run.compared && classes.length > 1 ? BESIDE : classes[0].name;
  get("explained_label").hidden = classes.length < 2;
}

// Returns the chosen class, or all classes if they are to be seen side by side.
function chosenClasses(line) {
  const classes = classesOf(line), chosen = get("explained").value;
  return chosen === BESIDE ? classes : classes.filter(each => each.name === chosen);
}

// Offers the maps of a class for the charts over time. The first choice is the method of the run, with its sign.
function offerLead({maps}) {
  const names = maps.map(map => map.name), usual = names.includes(state.clip.lead) ? state.clip.lead : names[0];
  const before = get("about").value;
  get("about").replaceChildren(...options(names.map(name => [name, words(name)])));
  get("about").value = names.includes(before) ? before : usual ?? "";
  get("about_label").hidden = names.length < 2;
}

// Returns the map that the charts and the answers are about, or undefined if the clip has no map.
const leadMap = ({maps}) => maps.find(map => map.name === get("about").value);

// Returns the number, from 0, of the largest of `values`; values that are null count as 0.
const largestPlace = values => values.reduce((best, value, place) => (value ?? 0) > (values[best] ?? 0) ? place : best, 0);
