"""Does a map depend on what the model has learned? Weights are randomised, and the map is compared with itself.

    report = check(model, [Example(clip, target, flow), ...], ["gradient", "smoothgrad"])
    report["sanity"]["correlations"]["gradient"]       # one rank correlation per stage, the first with the same weights
    report["random_head"]["gradient"]["difference"]     # agreement with flow beyond that of a head that knows nothing
    for sentence in report["sentences"]: print(sentence)

Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018: cascading
randomisation of the weights from the top layer down. A random head on the trained backbone shows what of a map's
agreement with the motion is the backbone's doing alone.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch

from model.folding import folded
from saliency.explain import explain
from saliency.metrics import map_metrics, spearman, summarise

HEAD = ("classifier", "lstm", "attention", "projection")  # from the top down
BLOCKS = 5  # stages of the backbone
KEPT = 0.5  # a rank correlation above this after the head is random is worth a sentence
UNCHANGED = 0.999
METRIC = "auc_flow_frame"
REPORT = ("sanity", "random_head", "sentences")  # what `check` returns


class Example(NamedTuple):
    clip: torch.Tensor  # (T, C, H, W), normalised
    target: int  # the class explained, whatever the weights
    flow: np.ndarray  # (T-1, H, W) in pixels per frame


def head_parts(model):
    """The model's parts with weights after the backbone, [(name, module)], from the top down."""
    parts = {name: part for name, part in model.named_children() if name != "backbone" and _size(part)}
    known = [name for name in HEAD if name in parts]
    return [(name, parts[name]) for name in known + [name for name in reversed(parts) if name not in known]]


def backbone_parts(backbone):
    """The backbone's blocks in a few groups, [(name, [modules])], from the last to the first.

    Containers are opened, the largest first, until there are enough blocks; what lies before the first container is the
    stem.
    """
    blocks = [("backbone", backbone)]
    while len(blocks) < BLOCKS:
        sizes = [_size(block) if _parts(block) else -1 for _, block in blocks]
        largest = int(np.argmax(sizes))
        if sizes[largest] < 0:
            break
        name, block = blocks[largest]
        blocks[largest:largest + 1] = [(f"{name}.{part}".removeprefix("backbone."), sub) for part, sub in _parts(block)]
    groups = []
    if len(blocks) > 1:
        n_stem = next((i for i, (_, block) in enumerate(blocks) if _parts(block)), 0)
        groups, blocks = [("stem", [block for _, block in blocks[:n_stem]])] * (n_stem > 0), blocks[n_stem:]
    for indices in np.array_split(np.arange(len(blocks)), min(len(blocks), BLOCKS - len(groups))):
        names = [blocks[i][0] for i in indices]
        name = names[0] if len(names) == 1 else f"{names[0]}-{names[-1].split('.')[-1]}"
        groups.append((name, [blocks[i][1] for i in indices]))
    return groups[::-1]


def _parts(module):
    return [(name, part) for name, part in module.named_children() if _size(part)]


def _size(module):
    return sum(weight.numel() for weight in module.parameters())


@torch.no_grad()
def randomise(modules, seed):
    """New weights in place, by each layer's own reset_parameters (of batch norm also the running statistics).

    Weights of a layer without one are shuffled. The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for layer in (layer for module in modules for layer in module.modules()):
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
            else:
                for weight in layer.parameters(recurse=False):
                    weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))


def stages(model):
    """What is randomised one after the other, from the top down: [(name, [modules])]."""
    return [(name, [part]) for name, part in head_parts(model)] + backbone_parts(model.backbone)


def randomised_models(model, seed=0):
    """Yield (stage, model) from the top down, each a copy for inference with all stages up to this one randomised.

    The model has to be one that is not folded: its batch norms are reset too. It is left alone.
    """
    device = next(model.parameters()).device
    twin = copy.deepcopy(model).cpu()
    for number, (name, modules) in enumerate(stages(twin)):
        randomise(modules, 1000 * seed + number)
        yield name, folded(twin).to(device)


def random_head_models(model, draws, seed=0):
    """Yield `draws` copies of the model, ready for inference, all after the backbone randomised. It is left alone."""
    device = next(model.parameters()).device
    for draw in range(draws):
        twin = copy.deepcopy(model).cpu()
        randomise([part for _, part in head_parts(twin)], 1000 * seed + 500 + draw)
        yield folded(twin).to(device)


def check(model, examples, methods, score="logit", smooth=0.0, options=None, draws=3, seed=0, progress=None):
    """Both checks for all methods, on a few Examples; methods, score, smooth, options as for saliency.explain.explain.

    progress: called with the number of clips explained, of len(examples) * (len(stages(model)) + 2 + draws).
    Returns {"sanity": see `sanity_curves`, "random_head": see `random_head`, "sentences": what is amiss, in words}.
    """
    def maps_of(other):
        for example in examples:
            yield explain(other, example.clip, example.target, methods, score, smooth, options)[0]
            if progress:
                progress(1)

    trained = list(maps_of(folded(model)))
    sanity = sanity_curves(model, maps_of, trained, seed)
    heads = random_head(model, maps_of, trained, [example.flow for example in examples], draws, seed)
    return dict(zip(REPORT, (sanity, heads, sentences(sanity["correlations"], heads)), strict=True))


def sanity_curves(model, maps_of, trained, seed=0):
    """Spearman correlation of maps with those of the trained model, as the weights are randomised from the top down.

    maps_of: model -> {method: (T, H, W)} of each clip; trained: list of these. Returns {"stages": names, the first
    "trained"; "correlations": {method: mean over clips, per stage}; "within_frames": the same of the mean over frames,
    which a profile in time that an LSTM has with any weights does not raise; "n_nan": {method: clips without a
    correlation, per stage}}.
    """
    def compare(other):
        clip, frames = [], []
        for before, maps in zip(trained, maps_of(other), strict=True):
            found = {name: correlations(before[name], maps[name]) for name in before}
            clip.append({name: value for name, (value, _) in found.items()})
            frames.append({name: value for name, (_, value) in found.items()})
        return summarise(clip), summarise(frames)

    rows = {"trained": compare(folded(model))}
    rows |= {stage: compare(other) for stage, other in randomised_models(model, seed)}
    return {
        "stages": list(rows),
        "correlations": {name: [clip[name]["mean"] for clip, _ in rows.values()] for name in trained[0]},
        "within_frames": {name: [frames[name]["mean"] for _, frames in rows.values()] for name in trained[0]},
        "n_nan": {name: [clip[name]["n_nan"] for clip, _ in rows.values()] for name in trained[0]},
    }


def random_head(model, maps_of, trained, flows, draws=3, seed=0):
    """Agreement with flow (AUC per frame) of the trained model's maps, beside that of models with a random head.

    Returns {method: {"trained", "random_head", "difference", "correlation", "within_frames"}}, summaries over the clips
    with bootstrap intervals; of the random heads each clip's mean over the draws; the last two: with the trained
    model's map, see `correlations`.
    """
    def agreement(maps, flow):
        return map_metrics(maps, flow)[METRIC]

    found = {name: np.empty((3, draws, len(flows))) for name in trained[0]}
    for draw, other in enumerate(random_head_models(model, draws, seed)):
        for i, maps in enumerate(maps_of(other)):
            for name, values in maps.items():
                found[name][:, draw, i] = agreement(values, flows[i]), *correlations(trained[i][name], values)
    report = {}
    for name, values in found.items():
        rows = []
        for i, maps in enumerate(trained):
            own, (chance, over_clip, within) = agreement(maps[name], flows[i]), map(mean_of, values[:, :, i])
            rows.append({"trained": own, "random_head": chance, "difference": own - chance,
                         "correlation": over_clip, "within_frames": within})
        report[name] = summarise(rows)
    return report


def correlations(before, after):
    """Spearman's of two maps (T, H, W): over the whole clip, and the mean of those within each frame."""
    return spearman(before, after), mean_of(list(map(spearman, before, after)))


def mean_of(values):
    """Mean of the values (n,) that are finite, NaN without one."""
    values = np.asarray(values, dtype=float)
    return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else float("nan")


def sentences(curves, heads):
    """What is amiss with a method, one sentence each."""
    found = []
    for name, values in curves.items():
        kept, within = (heads[name][kind]["mean"] for kind in ("correlation", "within_frames"))
        last = values[-1]
        if last > UNCHANGED:
            found.append(f"{name} gives the same map when all weights are random: it tells nothing of the model")
        elif kept > KEPT:
            found.append(f"{name} keeps {kept:.2f} of its map after the head is randomised ({within:.2f} within a "
                         "frame, the rest is when): so much is not what the classifier has learned")
        if not np.isfinite(kept) or not np.isfinite(values).all():
            found.append(f"{name} gave constant maps, which have no rank correlation, in all clips of a stage")
    return found
