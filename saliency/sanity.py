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
from tqdm import tqdm

from model.contract import check_parts
from model.fast.folding import folded
from saliency.explain import explain
from saliency.metrics import map_metrics, mean_of, spearman, summarise

BLOCKS = 5  # stages of the backbone
KEPT = 0.5  # a rank correlation above this after the head is random is worth a sentence
UNCHANGED = 0.999
METRIC = "auc_flow_frame"
KEYS = ("sanity", "random_head", "sentences")  # what `check` returns
COLUMNS = ("trained", "random_head", "difference", "correlation", "within_frames")  # of `random_head`


class Example(NamedTuple):
    clip: torch.Tensor  # (T, C, H, W), normalised
    target: int  # the class explained, whatever the weights
    flow: np.ndarray  # (T-1, H, W) in pixels per frame


def backbone_parts(root, backbone):
    """Return a backbone's blocks in a few groups, [(name, [modules])], from the last to the first.

    Containers are opened, the largest first, until there are enough blocks.
    """
    blocks = [(root, backbone)]
    while len(blocks) < BLOCKS and any(_parts(block) for _, block in blocks):
        place = int(np.argmax([_size(block) * bool(_parts(block)) for _, block in blocks]))
        name, block = blocks[place]
        blocks[place:place + 1] = [(f"{name}.{part}".removeprefix(f"{root}."), sub) for part, sub in _parts(block)]
    groups = []
    for indices in np.array_split(np.arange(len(blocks)), min(len(blocks), BLOCKS)):
        names, modules = zip(*(blocks[i] for i in indices), strict=True)
        groups.append((names[0] if len(names) == 1 else f"{names[0]}-{names[-1].split('.')[-1]}", list(modules)))
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
    """Return what is randomised one after the other, from the top down: [(name, [modules])].

    ValueError if that leaves out a parameter, see model.contract.check_parts.
    """
    check_parts(model)
    head = [(name, [part]) for name, part in model.head_modules()]
    return head + [group for name, part in model.backbone_modules() for group in backbone_parts(name, part)]


def randomised_models(model, seed=0):
    """Yield (stage, model) from the top down, each a copy for inference with all stages up to this one randomised.

    The model has to be one that is not folded: its batch norms are reset too. It is left alone.
    """
    twin = copy.deepcopy(model).cpu()
    for number, (name, modules) in enumerate(stages(twin)):
        randomise(modules, 1000 * seed + number)
        yield name, folded(twin).to(next(model.parameters()).device)


def random_head_models(model, draws, seed=0):
    """Yield `draws` copies of the model, ready for inference, all after the backbone randomised. It is left alone."""
    for draw in range(draws):
        twin = copy.deepcopy(model).cpu()
        randomise([part for _, part in twin.head_modules()], 1000 * seed + 500 + draw)
        yield folded(twin).to(next(model.parameters()).device)


def check(model, examples, methods, score="logit", smooth=0.0, options=None, draws=3, seed=0):
    """Both checks for all methods, on a few Examples; methods, score, smooth, options as for saliency.explain.explain.

    Returns {"sanity": see `sanity_curves`, "random_head": see `random_head`, "sentences": what is amiss, in words}.
    """
    total = len(examples) * (2 + len(stages(model)) + draws)
    with tqdm(total=total, unit="clip", desc="sanity", disable=None) as progress:
        def maps_of(other):
            for example in examples:
                yield explain(other, example.clip, example.target, methods, score, smooth, options).maps
                progress.update()

        trained = list(maps_of(folded(model)))
        cascade = {"trained": compared(trained, maps_of(folded(model)), examples)}
        for stage, other in randomised_models(model, seed):
            cascade[stage] = compared(trained, maps_of(other), examples)
        heads = [compared(trained, maps_of(other), examples) for other in random_head_models(model, draws, seed)]
    curves, report = sanity_curves(cascade), random_head(cascade["trained"], heads)
    return dict(zip(KEYS, (curves, report, sentences(curves["correlations"], report)), strict=True))


def compared(trained, others, examples):
    """Maps of a model beside the trained one's, each a list of {method: (T, H, W)} of the clips: {method: (clips, 3)}.

    The three: agreement with flow, and the two `correlations` with the trained model's map.
    """
    rows = {name: [] for name in trained[0]}
    for before, after, example in zip(trained, others, examples, strict=True):
        for name, row in rows.items():
            agreement = map_metrics(after[name], example.flow)[METRIC]
            row.append((agreement, *correlations(before[name], after[name])))
    return {name: np.array(row) for name, row in rows.items()}


def sanity_curves(cascade):
    """Spearman correlation of maps with those of the trained model, as the weights are randomised from the top down.

    cascade: {stage: see `compared`}, the first stage "trained". Returns {"stages": names; "correlations": {method: mean
    over clips, per stage}; "within_frames": the same of the mean over frames, which a profile in time that an LSTM has
    with any weights does not raise; "n_nan": {method: clips without a correlation, per stage}}.
    """
    table = {name: np.array([rows[name] for rows in cascade.values()]) for name in cascade["trained"]}  # (stages, n, 3)
    return {
        "stages": list(cascade),
        "correlations": {name: list(map(mean_of, values[..., 1])) for name, values in table.items()},
        "within_frames": {name: list(map(mean_of, values[..., 2])) for name, values in table.items()},
        "n_nan": {name: np.isnan(values[..., 1]).sum(1).tolist() for name, values in table.items()},
    }


def random_head(trained, heads):
    """Agreement with flow (AUC per frame) of the trained model's maps, beside that of models with a random head.

    trained, and a list of heads: see `compared`. Returns {method: {"trained", "random_head", "difference",
    "correlation", "within_frames"}}, summaries over the clips with bootstrap intervals; of the random heads each clip's
    mean over the draws; the last two: with the trained model's map.
    """
    report = {}
    for name, own in trained.items():
        means = np.apply_along_axis(mean_of, 0, [rows[name] for rows in heads])  # (clips, 3)
        numbers = np.column_stack([own[:, 0], means[:, 0], own[:, 0] - means[:, 0], means[:, 1:]])
        report[name] = summarise([dict(zip(COLUMNS, row, strict=True)) for row in numbers])
    return report


def correlations(before, after):
    """Spearman's of two maps (T, H, W): over the whole clip, and the mean of those within each frame."""
    return spearman(before, after), mean_of(list(map(spearman, before, after)))


def sentences(curves, heads):
    """What is amiss with a method, one sentence each."""
    found = []
    for name, values in curves.items():
        kept, within = (heads[name][kind]["mean"] for kind in ("correlation", "within_frames"))
        if values[-1] > UNCHANGED:
            found.append(f"{name} gives the same map when all weights are random: it tells nothing of the model")
        elif kept > KEPT:
            found.append(f"{name} keeps {kept:.2f} of its map after the head is randomised ({within:.2f} within "
                         "frames): so much is not what the classifier has learned")
        if not np.isfinite(kept) or not np.isfinite(values).all():
            found.append(f"{name} gave constant maps, which have no rank correlation, in all clips of a stage")
    return found
