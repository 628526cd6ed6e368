// Shows the CNN features of a clip in its panel: heat maps, a chart over time, and metrics.

// Returns a row for `timeline` with the heat map of a feature map, whose grey levels are (rows * T).
function heatMap(map) {
  const canvas = el("canvas", {width: state.length, height: map.rows, className: "heat", role: "img",
    "aria-label": `${words(map.name)} of ${map.rows} features (down) in ${state.length} frames (across)`});
  const context = canvas.getContext("2d"), image = context.createImageData(state.length, map.rows);
  const colours = sharesOf(map.signed, map.limit, map.limit).map(share => colourOf(map, share));
  map.levels.forEach((level, pixel) => image.data.set([...colours[level], 255], 4 * pixel));
  context.putImageData(image, 0, 0);
  return [words(map.name), canvas];
}

function showFeatures(features, flow) {
  const [{name: first, rows}] = features.maps;
  const heat = features.maps.map(heatMap);
  const series = [[`Sum of |${first}|`, features.totals], flow && ["Sum of optical flow", flow.totals]];
  timeline(get("feature_timeline"), [...heat, ...chart(get("feature_legend"), features.time_contribution, series)]);
  get("feature_legend").append(...features.maps.map(map => el("span", {}, `${words(map.name)}: `, scaleBar(map)[0],
    ` ${scaleText(map)}`)));
  get("feature_note").textContent = `${rows} of ${counted(features.count, "feature")}`;
  get("feature_map").textContent = first;
  get("top_features").textContent = `Strongest features (number: share of the sum, frame of the largest value): ${
    features.top.map(([name, share, frame]) => `${name}: ${amount(100 * share)}%, frame ${frame}`).join("; ")}.`;
  const own = Object.entries(run.feature_metrics[state.clip.clip] ?? {});
  fillTable(get("feature_metrics"), "Metric", [first], own.map(([name, value]) => [name, number(value)]));
  get("feature_metrics").hidden = !own.length;
}
