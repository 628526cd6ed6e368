"""A world is run by the real command line; what it said is collected, and its truth is worked out anew.

    told = run_world(world, root)               # Told: texts by place, sentences, metrics
    told.truths["person02_walking_d1_1"].share("alone", first, last)
"""

import io
import json
import math
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout
from functools import cached_property
from itertools import combinations

import numpy as np
import pytest
import torch

import frame_saliency
from data.annotation import write_annotation
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from saliency.results import clip_files
from tests import world_nets
from tests.runs import data_options, run_command, saved
from tests.tiny_data import places_in, write_clip
from tests.worlds import FIGURES, METRICS, PAGE, SCRIPTS, SIDE, TERMINAL

NOT_SENTENCES = {"recipe", "feature_recipe", "unit", "sides", "sheet", "thumbnail", "picture", "colours", "name",
                 "columns"}


def command(world, data, results):
    """Return the command line of a world."""
    length = len(next(iter(world.clips().values()))[1])
    return [*data_options(data), "--model", f"{world_nets.__file__}:{world.network}", "--sample_size", SIDE,
            "--sample_duration", length, "--no_overlay", "--verbose", "--threads", 1,
            "--result_path", results, *world.arguments]


def write_world(world, root):
    """Write the clips of a world as a data set and return its places."""
    data, clips = places_in(root), world.clips()
    for name, (label, frames) in clips.items():
        write_clip(data.images / label / name, frames)
    write_annotation(data.annotation, list(world.classes), {name: ("testing", clips[name][0]) for name in clips})
    return data


def strings(content, skipped=()):
    """Return all texts in nested lists and dictionaries, but those under the keys `skipped`."""
    if isinstance(content, str):
        return [] if content.startswith("data:") else [content]
    if isinstance(content, dict):
        return [text for key, part in content.items() if key not in skipped for text in strings(part, skipped)]
    return [text for part in content for text in strings(part, skipped)] if isinstance(content, list) else []


def numbers(content):
    """Return all numbers in nested lists and dictionaries."""
    if isinstance(content, int | float):
        return [float(content)]
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list) else []
    return [number for part in parts for number in numbers(part)]


def sentences(texts):
    """Return the texts of at least four words; those in lower case are parts of sentences, and left out."""
    return [text for text in texts if len(re.findall(r"[A-Za-z]{2,}", text)) >= 4 and not text[0].islower()]


def listed(metrics):
    """Return the texts in metrics.json that claim to be sentences, with a capital letter or without."""
    return [*(finding["text"] for finding in metrics["findings"]), *metrics.get("sentences", [])]


def all_dicts(content):
    """Yield every dictionary in nested lists and dictionaries."""
    if isinstance(content, dict):
        yield content
    for part in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from all_dicts(part)


class Told:
    """The texts and numbers that a run of a world gave."""

    def __init__(self, world, output, titles, folder):
        self.world, self.output, self.folder = world, output, folder
        self.metrics = json.loads((folder / "metrics.json").read_text())
        page, _, scripts = (folder / "report.html").read_text().partition('id="data">')[2].partition("</script>")
        *clips, run = map(json.loads, page.splitlines())
        self.page = [*clips, run]
        names = [about["clip"] for about in run["clips"]]
        self.of_clip = dict(zip(names, (sentences(strings(line, NOT_SENTENCES)) for line in clips), strict=True))
        lines = [line.removeprefix("- ") for line in output.splitlines()]
        said = [line for line in lines if re.match(r"[A-Z].*\w.*\.$", line)]
        found = output.partition("What was found:\n")[2].partition("\n\n")[0]
        told = [line for line in lines if re.search("^warning: |explained: ", line)]
        self.texts = {TERMINAL: lines, METRICS: strings(self.metrics), FIGURES: titles, SCRIPTS: [scripts],
                      PAGE: strings(self.page, NOT_SENTENCES - {"name"})}
        self.claims = self.texts | {TERMINAL: [*said, *found.splitlines(), *told]}  # without tables and their captions
        found = [line.removeprefix("- ") for line in found.splitlines()]
        whole = [*strings(self.metrics), *strings(self.page, NOT_SENTENCES)]
        self.sentences = list(dict.fromkeys([*said, *found, *listed(self.metrics), *sentences(whole)]))

    @cached_property
    def truths(self):
        """{clip: Truth}."""
        return {path.name: Truth(self.world, saved(path)) for path in self.folder.glob("*/*/") if path.is_dir()}

    @property
    def groups(self):
        """The person of each clip in metrics.json."""
        return [name.partition("_")[0] for name in self.metrics["clips"]]

    def about_frames(self):
        """Yield (sentence, Truth) for each sentence about one clip."""
        for name, texts in self.of_clip.items():
            for text in texts:
                yield text, self.truths[name]


class Truth:
    """The scores of a clip as the network itself gives them, for any order of its frames; frame T is the background."""

    def __init__(self, world, arrays):
        self.arrays, self.world = arrays, world
        clip = normalise(arrays["frames"][..., None].repeat(3, 3), IMAGENET_MEAN, IMAGENET_STD)  # (T, 3, H, W)
        function = getattr(world_nets, world.network)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(0)
            takes = function.__code__.co_varnames[:1] == ("num_classes",)
            self.network = (function(len(world.classes)) if takes else function()).eval()
            self.features = self.network.encode(torch.cat([clip, clip.quantile(0.5, 0, keepdim=True)])[None])[0]
        self.length, self.target = len(clip), world.classes.index(str(arrays["target"]))
        self.steps = torch.arange(self.length)
        empty = torch.full_like(self.steps, self.length)
        self.none, self.all = (float(self.score(order[None])[0]) for order in (empty, self.steps))

    @torch.no_grad()
    def class_scores(self, orders):
        """Return the class scores (N, classes) of sequences of frames (N, L), from 0; a single score counts as two."""
        scores = self.network.classify(self.features[orders]).double()
        return torch.cat([-scores, scores], 1) if scores.shape[1] == 1 else scores

    def score(self, orders):
        return self.class_scores(orders)[:, self.target]

    def changed(self, deed, first, last):
        """Return the order of the frames after a deed to the frames first to last (N,) each, from 0: (N, T)."""
        first, last, steps = first[:, None], last[:, None], self.steps[None]
        inside = (steps >= first) & (steps <= last)
        return {"alone": torch.where(inside, steps, self.length), "background": torch.where(inside, self.length, steps),
                "freeze": torch.where(inside, (first - 1).clamp_min(0), steps),
                "reverse": torch.where(inside, first + last - steps, steps)}[deed]

    def share(self, deed, first, last):
        """Return which share of the difference is kept alone, or lost by another deed; first, last: (N,), from 0."""
        score = self.score(self.changed(deed, first, last))
        return ((score - self.none) if deed == "alone" else (self.all - score)) / (self.all - self.none)

    def qualifies(self, deed, first, last):
        """Return whether a deed to the frames keeps or takes 90 percent, or changes the predicted class."""
        found = self.share(deed, first, last) >= 0.9
        if deed == "alone":
            return found
        scores = self.class_scores(self.changed(deed, first, last))
        return found | (scores.argmax(1) != self.class_scores(self.steps[None]).argmax(1))

    def shapley(self):
        """Return the exact Shapley values (T,), from all coalitions."""
        players, values = range(self.length), np.zeros(self.length)
        coalitions = [chosen for size in range(self.length + 1) for chosen in combinations(players, size)]
        orders = torch.tensor([[t if t in chosen else self.length for t in players] for chosen in coalitions])
        score = dict(zip(coalitions, self.score(orders).tolist(), strict=True))
        for chosen in coalitions:
            weight = 1 / (self.length * math.comb(self.length - 1, len(chosen))) if len(chosen) < self.length else 0
            for t in set(players) - set(chosen):
                values[t] += weight * (score[tuple(sorted((*chosen, t)))] - score[chosen])
        return values


def run_world(world, root):
    """Run a world and return what was Told, or all output if it ended early. No figure is drawn; titles are kept."""
    output, titles = io.StringIO(), []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), \
            redirect_stdout(output), redirect_stderr(output):
        warnings.simplefilter("always")
        patch.setattr(clip_files, "draw_frames", lambda result, title, *more, **options: titles.append(title))
        patch.setattr(frame_saliency, "save_figures", lambda *given: None)
        try:
            run_command("frame_saliency", *command(world, write_world(world, root), root / "results"))
        except SystemExit:
            return output.getvalue()
    return Told(world, output.getvalue(), titles, root / "results")
