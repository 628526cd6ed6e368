// Reads the pictures of a clip, and draws its maps over the frames.

const OUTLINE = [86, 180, 233];

// Returns the grey levels of the tiles of a sheet, one tile after the other (count * height * width).
async function decode(sheet, count, width, height) {
  const image = new Image();
  image.src = sheet;
  await image.decode();
  const context = el("canvas", {width: image.width, height: image.height}).getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const columns = Math.ceil(Math.sqrt(count)), levels = new Uint8Array(count * width * height);
  for (let tile = 0; tile < count; tile++) {
    const left = tile % columns * width, top = Math.floor(tile / columns) * height;
    const pixels = context.getImageData(left, top, width, height).data;
    for (let place = 0; place < width * height; place++) levels[tile * width * height + place] = pixels[4 * place];
  }
  return levels;
}

// Adds a canvas with a caption to the panel and returns it with the map. The frames themselves have no map.
function figure(map, title, width, height) {
  const canvas = el("canvas", {width, height, role: "img"});
  const [bar, writeScale] = map ? scaleBar(map) : [];
  const caption = map ? [bar, ...sidesOf(map), el("span", {className: "unit"}, scaleText(map))] : [];
  get("maps").append(el("figure", {}, canvas, el("figcaption", {}, el("strong", {}, title), ...caption)));
  return {...map, title, canvas, context: canvas.getContext("2d"), writeScale};
}

// Gives the rows of pictures in a view about equal lengths, at most five pictures where there is room.
function balanceRows(view) {
  const count = view.children.length;
  view.style.setProperty("--columns", Math.ceil(count / Math.ceil(count / 5)));
}

// Returns the picture of a frame under a map, or of the frame alone if the map has no levels.
function frameImage(map, frame) {
  const {width, height, frames, flow} = state, size = width * height, start = frame * size;
  const image = new ImageData(width, height), {colours, weights} = map.levels ? colouring(map, frame) : {};
  const outlined = get("outline").checked && map.levels && map !== flow && flow?.count > frame;
  const fast = outlined ? 255 * Math.sqrt(state.clip.moving / flow.peaks[frame]) : Infinity;  // the level
  for (let pixel = 0; pixel < size; pixel++) {
    const at = start + pixel, grey = frames[at], level = map.levels?.[at], weight = map.levels ? weights[level] : 0;
    const edge = fast < 255 && flow.levels[at] > fast && (flow.levels[at - 1] <= fast || flow.levels[at + 1] <= fast
      || flow.levels[at - width] <= fast || flow.levels[at + width] <= fast);
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * pixel + channel] = edge ? OUTLINE[channel]
        : weight ? grey + weight * (colours[level][channel] - grey) : grey;
    }
    image.data[4 * pixel + 3] = 255;
  }
  return image;
}
