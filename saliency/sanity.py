"""Sanity check: does a map depend on what the model has learned? Randomise weights and compare the maps.

    found = check(model, [Example(clip, target, flow), ...], ["gradient", "smoothgrad"])
    found["sanity"]["correlations"]["gradient"]          # a rank correlation per stage, the first with the same weights
    found["random_head"]["gradient"]["difference"]       # agreement with flow beyond that of a random head
    for sentence in found["sentences"]: print(sentence)

The first check randomises the weights stage by stage, from the output of the model down (Adebayo, Gilmer, Muelly,
Goodfellow, Hardt and Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018). The second check keeps the trained backbone
and randomises the head only: a map that agrees with the motion as well as before shows the backbone, not the
classifier.

A model whose score is the same for a clip, its background and noise has maps of rounding errors. What is compared with
them is NaN, and a sentence says that it is undefined.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from model.contract import SequenceModel, check_parts, class_scores
from model.fast.folding import folded
from model.scores import class_logits
from runtime.progress import Progress
from runtime.sentences import counted
from saliency.attribution import is_time_only
from saliency.explain import explain
from saliency.fills import background
from saliency.metrics import map_metrics, spearman
from saliency.results.averages import finite_mean, summarise, t_quantile
from saliency.scores import target_score
from saliency.state import untouched

BLOCKS = 5  # stages of the backbone
KEPT = 0.5  # a larger rank correlation after the head is randomised is worth a sentence
UNCHANGED = 0.999  # a larger rank correlation means that the map has not changed
ROUNDING = 1000  # a score that varies by less than this many rounding errors does not vary
TRAINED, RANDOM_HEAD = "trained", "random head"  # the first stage, and the models of the second check
UNDEFINED = " (undefined)"  # ends the name of a stage at which the score varies on no clip
METRIC = "auc_flow_frame"  # the agreement with flow
KEYS = ("sanity", "random_head", "sentences")  # keys of the result of `check`
COLUMNS = ("trained", "random_head", "difference", "correlation", "within_frames")  # see `random_head_agreement`

Stage = tuple[str, list[nn.Module]]  # a name and the modules that are randomised together


class Example(NamedTuple):
    """A clip that the maps are compared on."""

    clip: torch.Tensor  # (T, C, H, W), normalised
    target: int  # index of the explained class, the same for all weights
    flow: np.ndarray  # (T-1, H, W) in pixels per frame


def backbone_parts(root: str, backbone: nn.Module) -> list[Stage]:
    """Return the blocks of a backbone in up to BLOCKS groups, from the last to the first.

    The largest container is replaced by its children until there are enough blocks. Names are relative to `root`, the
    name of the backbone in the model.
    """
    blocks = [(root, backbone)]
    while len(blocks) < BLOCKS and any(_children(block) for _, block in blocks):
        sizes = [_parameter_count(block) if _children(block) else 0 for _, block in blocks]
        largest = int(np.argmax(sizes))
        name, block = blocks[largest]
        children = [(f"{name}.{child}".removeprefix(f"{root}."), module) for child, module in _children(block)]
        blocks[largest:largest + 1] = children
    groups = []
    for indices in np.array_split(np.arange(len(blocks)), min(len(blocks), BLOCKS)):
        names, modules = zip(*(blocks[i] for i in indices), strict=True)
        groups.append((names[0] if len(names) == 1 else f"{names[0]}-{names[-1].split('.')[-1]}", list(modules)))
    return groups[::-1]


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the children of a module that have parameters, with their names."""
    return [(name, child) for name, child in module.named_children() if _parameter_count(child)]


def _parameter_count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@torch.no_grad()
def randomise(modules: Iterable[nn.Module], seed: int) -> None:
    """Randomise the weights of the modules in place; the global random state stays as it was.

    Layers with a method reset_parameters use it, which also resets the running statistics of batch norm, and so do
    layers with _reset_parameters, such as attention. Weights that no such method writes are shuffled, or multiplied by
    random numbers if all values are equal, as in a weight of one value.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for layer in (layer for module in modules for layer in module.modules()):
            versions = [(weight, weight._version) for weight in layer.parameters(recurse=False)]
            reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
            if reset:
                reset()
            for weight in (weight for weight, version in versions if weight._version == version):
                if weight.numel() and weight.eq(weight.flatten()[0]).all():
                    weight.mul_(torch.randn_like(weight))
                else:
                    weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))


def stages(model: SequenceModel) -> list[Stage]:
    """Return the stages of the model, from the output down: each part of the head, then groups of backbone blocks.

    ValueError if a parameter is in no stage or in two, see model.contract.check_parts.
    """
    check_parts(model)
    head = [(name, [part]) for name, part in model.head_modules() if _parameter_count(part)]
    return head + [group for name, part in model.backbone_modules() for group in backbone_parts(name, part)]


def randomised_models(model: SequenceModel, seed: int = 0,
                      clips: Sequence[torch.Tensor] = ()) -> Iterator[tuple[str, nn.Module]]:
    """Yield (stage, model) from the output down, each with this stage and all stages above it randomised.

    The models are folded copies for inference. The given model must not be folded, because its batch norms are reset
    too; it stays unchanged. clips: see `settled`.
    """
    changed, done = copy.deepcopy(model).cpu(), []
    for number, (name, modules) in enumerate(stages(changed)):
        randomise(modules, 1000 * seed + number)
        done += modules
        yield name, settled(changed, done, clips).to(next(model.parameters()).device)


def random_head_models(model: SequenceModel, draws: int, seed: int = 0,
                       clips: Sequence[torch.Tensor] = ()) -> Iterator[nn.Module]:
    """Yield `draws` folded copies of the model for inference, each with a random head. The model stays unchanged."""
    for draw in range(draws):
        changed = copy.deepcopy(model).cpu()
        randomise(parts := [part for _, part in changed.head_modules()], 1000 * seed + 500 + draw)
        yield settled(changed, parts, clips).to(next(model.parameters()).device)


def settled(model: nn.Module, modules: Iterable[nn.Module], clips: Sequence[torch.Tensor]) -> nn.Module:
    """Return a folded copy of a model on the CPU, after estimating the statistics of the batch norms in `modules`.

    They are the means over the clips, each (T, C, H, W). With the statistics 0 and 1 of a new batch norm, the signal of
    a deep random network shrinks to rounding errors.
    """
    norms = nn.ModuleList(layer for part in modules for layer in part.modules() if isinstance(layer, _BatchNorm))
    norms.forward = partial(class_scores, model)
    with untouched(model):  # only the batch norms are in training mode
        update_bn((torch.stack([clip, clip]).cpu() for clip in clips), norms)  # two, if a clip is one item to the norm
    return folded(model)


@torch.no_grad()
def varies(model: nn.Module, example: Example, score: str = "logit") -> bool:
    """Return whether the explained score differs between the clip, its background and noise by more than rounding."""
    clip = example.clip
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(0), dtype=clip.dtype).to(clip.device)
    with untouched(model):
        scores = class_logits(torch.cat([class_scores(model, each[None]) for each in (
            clip, background(clip).expand_as(clip), clip.mean() + clip.std() * noise)]))
    scores = (scores.log_softmax(1)[:, example.target] if score == "probability"  # P may be near 1
              else target_score(scores, example.target, score))
    return bool(scores.max() - scores.min() > ROUNDING * torch.finfo(scores.dtype).eps * scores.abs().max())


def check(model: SequenceModel, examples: list[Example], methods: list[str], score: str = "logit", smooth: float = 0.0,
          options: dict[str, dict] | None = None, draws: int = 3, seed: int = 0,
          groups: Sequence[str] | None = None) -> dict:
    """Run both checks for all methods on a few examples.

    methods, score, smooth and options are those of saliency.explain.explain. draws: number of random heads. groups: of
    the examples, see saliency.results.averages.summarise.
    Returns {"sanity": see `correlation_curves`, "random_head": see `random_head_agreement`, "sentences": the methods
    that fail, a sentence each}. Numbers are NaN where the score does not vary; a sentence lists these stages.
    """
    total, clips = len(examples) * (2 + len(stages(model)) + draws), [example.clip for example in examples]
    flat = {}  # {stage: numbers of the examples on which the score of its model does not vary}
    time_only = set()  # methods whose maps have no agreement with flow
    with Progress(total, "sanity", "explanation", announce=True) as progress:
        def maps_of(other):
            for example in examples:
                found = explain(other, example.clip, example.target, methods, score, smooth, options, seed=seed)
                time_only.update(name for name in methods if is_time_only(found.facts, name))
                yield found.maps
                progress.update()

        def compared(stage, other):
            rows = compare_maps(trained, maps_of(other), examples)
            own = {number for number, example in enumerate(examples) if not varies(other, example, score)}
            flat[stage] = flat.get(stage, own) & own  # of the random heads: on which none of them varies
            for name, row in rows.items():
                row[[*own | flat[TRAINED]]] = np.nan
                row[:, 0] = np.nan if name in time_only else row[:, 0]
            return rows

        trained = list(maps_of(folded(model)))
        by_stage = {TRAINED: compared(TRAINED, folded(model))}
        for stage, other in randomised_models(model, seed, clips):
            by_stage[stage] = compared(stage, other)
        heads = [compared(RANDOM_HEAD, other) for other in random_head_models(model, draws, seed, clips)]
    agreement = random_head_agreement(by_stage[TRAINED], heads, groups)
    curves = correlation_curves({stage + UNDEFINED * (len(flat[stage] | flat[TRAINED]) == len(examples)): rows
                                 for stage, rows in by_stage.items()})
    where = ", ".join(f"{stage} ({len(numbers)} of {counted(len(examples), 'clip')})"
                      for stage, numbers in flat.items() if numbers)
    return {"sanity": curves, "random_head": agreement, "sentences": sentences(curves, agreement, where)}


def compare_maps(trained: list[dict[str, np.ndarray]], others: Iterable[dict[str, np.ndarray]],
                 examples: list[Example]) -> dict[str, np.ndarray]:
    """Compare the maps of another model with those of the trained model.

    trained, others: {method: (T, H, W)} for each example. Returns {method: (examples, 3)}; the three columns are the
    other map's agreement with flow, and its rank correlations with the trained model's map, see `correlations`.
    """
    rows = {name: [] for name in trained[0]}
    for before, after, example in zip(trained, others, examples, strict=True):
        for name, row in rows.items():
            agreement = map_metrics(after[name], example.flow)[METRIC]
            row.append((agreement, *correlations(before[name], after[name])))
    return {name: np.array(row) for name, row in rows.items()}


def correlation_curves(by_stage: dict[str, dict[str, np.ndarray]]) -> dict[str, list | dict[str, list]]:
    """Return the rank correlations with the trained model's maps at each stage of randomisation.

    by_stage: {stage: result of `compare_maps`}; the first stage is that of the trained model. Returns
    "stages": the names.
    "correlations": {method: a number per stage}, the mean over clips of the correlation over the whole clip.
    "within_frames": {method: a number per stage}, from the mean of the correlations within each frame. An LSTM with any
    weights gives maps a profile over time, which raises the first correlation but not this one.
    "n_nan": {method: number of clips without a correlation, per stage}.
    """
    methods = next(iter(by_stage.values()))
    table = {name: np.array([rows[name] for rows in by_stage.values()]) for name in methods}  # (stages, clips, 3) each
    return {
        "stages": list(by_stage),
        "correlations": {name: list(map(finite_mean, values[..., 1])) for name, values in table.items()},
        "within_frames": {name: list(map(finite_mean, values[..., 2])) for name, values in table.items()},
        "n_nan": {name: np.isnan(values[..., 1]).sum(1).tolist() for name, values in table.items()},
    }


def random_head_agreement(trained: dict[str, np.ndarray], heads: list[dict[str, np.ndarray]],
                          groups: Sequence[str] | None = None) -> dict[str, dict[str, dict]]:
    """Compare the agreement with flow (AUC per frame) of the trained model's maps with that of random heads.

    trained: result of `compare_maps` for the trained model itself. heads: the results for the models with random heads.
    Returns {method: {"trained", "random_head", "difference", "correlation", "within_frames"}}. Each is a summary over
    clips, whose groups are `groups` (results.averages.summarise). The random head's value of a clip is the mean over
    the heads. difference is trained minus random head, "heads" of them. All clips share one trained head, so the
    interval of the difference also holds the spread of the heads: that of one more random head around the mean of the
    others (prediction interval with Student's t). The last two are the rank correlations between both maps.
    """
    summaries = {}
    for name, own in trained.items():
        means = np.apply_along_axis(finite_mean, 0, [rows[name] for rows in heads])  # (clips, 3)
        numbers = np.column_stack([own[:, 0], means[:, 0], own[:, 0] - means[:, 0], means[:, 1:]])  # (clips, 5)
        summaries[name] = summarise([dict(zip(COLUMNS, row, strict=True)) for row in numbers], groups)
        _widen(summaries[name]["difference"], [finite_mean(rows[name][:, 0]) for rows in heads])
    return summaries


def _widen(difference: dict[str, Any], of_heads: list[float]) -> None:
    """Add the spread of the random heads, whose means over clips are `of_heads`, to the interval of the difference."""
    count, half = len(of_heads), (difference["high"] - difference["low"]) / 2
    spread = t_quantile(count - 1) * np.std(of_heads, ddof=1) * np.sqrt(1 + 1 / count) if count > 1 else np.nan
    half = float(np.hypot(half, spread))
    difference |= {"low": difference["mean"] - half, "high": difference["mean"] + half, "heads": count}


def correlations(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return Spearman's correlation of two maps (T, H, W) over the whole clip, and the mean of those within frames."""
    return spearman(before, after), finite_mean(list(map(spearman, before, after)))


def sentences(curves: dict[str, Any], heads: dict[str, dict[str, dict[str, float]]], where: str = "") -> list[str]:
    """Return a sentence for each finding that speaks against a method, and one about what is undefined.

    curves: the result of `correlation_curves`. heads: the result of `random_head_agreement`. where: the stages at which
    the score does not vary.
    """
    found = ["The score does not vary between a clip, its background and noise, so the maps are rounding errors and a "
             f"comparison with them is undefined, for the models: {where}."] if where else []
    for name, values in curves["correlations"].items():
        kept, within = (heads[name][column]["mean"] for column in ("correlation", "within_frames"))
        if values[-1] > UNCHANGED:
            found.append(f"{name} gives the same map when all weights are random, so the map says nothing about what "
                         "the model has learned.")
        elif kept > KEPT:
            found.append(f"{name}: with a random head, the map still has a rank correlation of {kept:.2f} with the "
                         f"trained model's map ({within:.2f} within frames); do not take all of the map as evidence "
                         "about the classifier.")
        defined = [value for stage, value in zip(curves["stages"], values, strict=True) if UNDEFINED not in stage]
        if not np.isfinite(defined).all() or not (np.isfinite(kept) or RANDOM_HEAD in where or not defined):
            found.append(f"{name} gave constant maps for all clips of at least one stage; constant maps have no rank "
                         "correlation.")
    return found
