"""Measure on a CUDA device everything that this project does on one, and print one table, in eight minutes or less.

    python3 -m tests.benchmarks.cuda                                            # ends with status 2 without a GPU
    python3 -m tests.benchmarks.cuda --device cpu --size 32 --frames 6 --patch 16 --backbone squeezenet1_1 --clips 2

Each row is one step. If a step fails, its error is in the table, and the exit status is 1. Training is timed in clips
per second, beside the same network in a plain loop of PyTorch on a batch that stays on the device; their ratio is about
the share of the time in which the device computes. Results are compared with those of the CPU: the largest difference,
relative to the largest value, of arrays that depend on no threshold. With --device cpu every step runs on the CPU,
which shows that this program works.
"""

import argparse
import copy
import csv
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import opts
from data.annotation import write_annotation
from model.batches import epoch_batches
from model.checkpoint import load_model
from model.cnn_lstm import CNNLSTM
from model.fast.folding import folded
from model.training import train_epoch
from model.vectors import AfterBackbone, MirroredClips, Vectors
from runtime.device import tf32
from runtime.errors import UserError
from saliency.fills import background
from saliency.methods import METHODS, attribute
from saliency.tsr import temporal_saliency_rescaling
from saliency.tsr.algorithm import magnitude
from saliency.tsr.literal import LiteralRelevance
from saliency.when import decide
from tests.benchmarks.tsr import timed, walker
from tests.runs import run_command, saved
from tests.tiny_data import moving_block, places_in, write_clip

PRECISIONS = {"float32": (False, False), "TF32": (True, False), "bfloat16": (True, True)}  # (TF32 allowed, --amp)
UNTHRESHOLDED = ("gradient", "time_delta", "time_contribution", "when_shapley", "when_kept", "when_prefix_padded")


def build_parser() -> opts.Parser:
    """Return the parser of the options."""
    parser = opts.Parser(__doc__.splitlines()[0])
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu only shows that this program works")
    add("--backbone", default="resnet18", help="torchvision network, with random weights, beside the bundled model")
    add("--size", type=opts.positive_int, default=120, help="side of the frames in pixels")
    add("--frames", type=opts.positive_int, default=30, help="frames per clip")
    add("--patch", type=opts.positive_int, default=10, help="side of TSR's patches in pixels")
    add("--passes", type=opts.positive_int, default=6, help="maps of the literal loop that are timed")
    add("--points", type=opts.positive_int, default=32, help="points of integrated gradients")
    add("--clips", type=opts.positive_int, default=300, help="clips for frame_saliency.py")
    add("--train_clips", type=opts.positive_int, default=64, help="clips of an epoch of training")
    return parser


class ClipsInMemory(torch.utils.data.Dataset):
    """Random clips (T, 3, H, W) of two classes, with what MirroredClips asks for."""

    def __init__(self, count: int, frames: int, size: int):
        self.clips, self.labels = torch.randn(count, frames, 3, size, size), torch.arange(count) % 2
        self.true_lengths = [frames] * count

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.clips[index], int(self.labels[index])


class Trial:
    """The models and clips that are tried on a device. Each step returns what it found, as text."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder, self.device = args, folder, torch.device(args.device)
        torch.manual_seed(0)
        self.bundled = folded(load_model(opts.PRETRAINED)[0])  # as the scripts do
        self.resnet = folded(CNNLSTM(2, args.backbone).eval())
        self.clip = walker(args.frames, args.size, torch.device("cpu"))

    def on(self, model: torch.nn.Module) -> tuple[torch.nn.Module, torch.Tensor]:
        """Return a copy of a model, and the clip, on the device."""
        return copy.deepcopy(model).to(self.device), self.clip.to(self.device)

    def best_of_two(self, work: Callable) -> float:
        """Return the seconds of the second of two runs; the first warms up."""
        work()
        return timed(work, self.device)[1]

    def training(self, finetune: bool) -> str:
        """Time an epoch in each precision, and the same network in a plain loop in the last one."""
        args = self.args
        model = CNNLSTM(2, args.backbone).to(self.device)
        model.backbone.requires_grad_(finetune)
        if finetune:
            data, forward = MirroredClips(ClipsInMemory(args.train_clips, args.frames, args.size)), model
        else:
            with torch.no_grad():
                vectors = model.eval().describe(self.clip[None].to(self.device)).cpu()  # (1, T, P)
            vectors = vectors[:, None].repeat(16 * args.train_clips, 2, 1, 1)
            data, forward = Vectors(vectors, torch.arange(len(vectors)) % 2), AfterBackbone(model)
        weights = [weight for name, weight in model.named_parameters() if finetune or not name.startswith("backbone.")]
        optimizer, found = torch.optim.Adam(weights, lr=1e-4), []
        workers = 4 if finetune and self.device.type == "cuda" else 0
        for name, (allowed, amp) in PRECISIONS.items():
            def epoch(amp=amp):
                batches = epoch_batches(data, 8, 0, 1, workers, self.device.type == "cuda")
                train_epoch(forward, weights, batches, optimizer, self.device, 2, amp=amp)

            with tf32(allowed):
                model.train()
                rate = len(data) / self.best_of_two(epoch)
                plain = self.plain_rate(forward, optimizer, data, amp)
            found.append(f"{name} {rate:.1f} ({rate / plain:.0%} of a plain loop)")
        return "clips per second: " + ", ".join(found)

    def plain_rate(self, forward: Callable, optimizer: torch.optim.Optimizer, data, amp: bool) -> float:
        """Return the clips per second of a loop over one batch that is on the device already."""
        data.draw(torch.Generator().manual_seed(0))
        inputs = torch.stack([data[index % len(data)][0] for index in range(8)]).to(self.device)
        labels, steps = torch.arange(8, device=self.device) % 2, max(1, len(data) // 8)

        def loop():
            for _ in range(steps):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=amp):
                    loss = cross_entropy(forward(inputs).float(), labels)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        return 8 * steps / self.best_of_two(loop)

    def method(self, name: str, **options) -> str:
        """Time a method on the bundled model, and compare its map with that of the CPU."""
        model, clip = self.on(self.bundled)
        seconds = self.best_of_two(partial(attribute, METHODS[name], model, clip, 0, **options))
        ours = attribute(METHODS[name], model, clip, 0, **options).map.cpu()
        cpu = attribute(METHODS[name], self.bundled, self.clip, 0, **options).map
        return f"{seconds * 1000:.0f} ms; {relative(ours, cpu):.1e} of the maximum from the CPU"

    def when(self) -> str:
        model, clip = self.on(self.bundled)
        seconds = self.best_of_two(partial(decide, model, clip, 0))
        ours, cpu = decide(model, clip, 0).shapley.values.cpu(), decide(self.bundled, self.clip, 0).shapley.values
        return f"{seconds:.2f} s; Shapley values {relative(ours, cpu):.1e} of the maximum from the CPU"

    def tsr(self, plain: torch.nn.Module) -> str:
        """Time whole TSR and maps of the literal loop, and compare the time step with the CPU."""
        model, clip = self.on(plain)
        rescaling = partial(temporal_saliency_rescaling, model, clip, 0, patch=self.args.patch)
        seconds = self.best_of_two(rescaling)
        found = rescaling()
        literal = LiteralRelevance(clip, magnitude(model, clip, 0))
        one = np.median([literal.seconds(background(clip)) for _ in range(self.args.passes)])
        maps = 1 + len(clip) + int(found.important.sum()) * found.patch_delta[0].numel()
        cpu = temporal_saliency_rescaling(plain, self.clip, 0, patch=self.args.patch, step="time").time_delta
        return (f"{seconds:.2f} s, literal loop {one * maps:.1f} s: ratio {one * maps / seconds:.0f}; time deltas "
                f"{relative(found.time_delta, cpu):.1e} of the maximum from the CPU, estimate {found.error_bound:.1e}")

    def scripts(self) -> str:
        """Run inference.py and frame_saliency.py on both devices, and compare their numbers."""
        data, flags = self.data_set("two", 2), ["--use_cuda"] if self.device.type == "cuda" else []
        probabilities, arrays = [], []
        for name, more in (("ours", flags), ("cpu", [])):
            run_command("inference", *data, "--result_path", self.folder / name / "inference", *more)
            with (self.folder / name / "inference" / "predictions.csv").open(newline="") as file:
                probabilities.append(np.array([row[3:] for row in csv.reader(file)][1:], float))
            run_command("frame_saliency", *data, "--limit", 1, "--tsr", "--tsr_step", "time", "--no_overlay",
                        "--result_path", self.folder / name / "frame_saliency", *more)
            arrays.append(saved(next((self.folder / name).rglob("saliency.npz")).parent))
        worst = max((relative(*(torch.from_numpy(each[key]).double() for each in arrays)), key)
                    for key in UNTHRESHOLDED)
        return (f"largest difference from the CPU: of a probability {np.abs(np.subtract(*probabilities)).max():.1e}, "
                f"of arrays {worst[0]:.1e} of the maximum, in {worst[1]}")

    def many_clips(self) -> str:
        data, flags = self.data_set("many", self.args.clips), ["--use_cuda"] if self.device.type == "cuda" else []
        _, seconds = timed(partial(run_command, "frame_saliency", *data, "--no_overlay", "--result_path",
                                   self.folder / "many", *flags), self.device)
        return f"{60 * self.args.clips / seconds:.0f} clips per minute ({self.args.clips} clips in {seconds:.0f} s)"

    def data_set(self, name: str, count: int) -> list:
        """Write clips of moving blocks into a folder. Return the options that name them."""
        places, clips = places_in(self.folder / "clips" / name), {}
        for number in range(count):
            label, speed = (("walking", 1), ("running", 4))[number % 2]
            name = f"person{number % 25 + 1:02}_{label}_d1_{number}"
            write_clip(places.images / label / name, *moving_block(speed, number, self.args.frames, self.args.size))
            clips[name] = "testing", label
        write_annotation(places.annotation, ["running", "walking"], clips)
        return ["--annotation_path", places.annotation, "--video_path", places.images, "--subset", "all"]

    def memory(self) -> str:
        if self.device.type == "cuda":
            return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the device at most, in all steps above"
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB of this process at most"

    def steps(self) -> dict[str, Callable[[], str]]:
        """Return {what is tried: function}."""
        return {
            "training, frozen backbone": partial(self.training, False),
            "training, whole network": partial(self.training, True),
            "gradient, bundled model": partial(self.method, "gradient"),
            "integrated gradients, bundled model": partial(self.method, "integrated_gradients",
                                                           points=self.args.points),
            "--when, bundled model": self.when,
            "TSR, bundled model": partial(self.tsr, self.bundled),
            f"TSR, {self.args.backbone} + LSTM": partial(self.tsr, self.resnet),
            "inference.py and frame_saliency.py": self.scripts,
            "frame_saliency.py, many clips": self.many_clips,
            "memory": self.memory,
        }


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value; numbers that are NaN in both are equal."""
    difference = torch.nan_to_num(found - expected).abs().max()
    return float(difference / torch.nan_to_num(expected).abs().max().clamp_min(1e-30))


def attempt(step: Callable[[], str]) -> tuple[str, bool]:
    """Return (what a step found, True), or (its error in one line, False)."""
    try:
        return step(), True
    except (Exception, SystemExit) as error:
        return f"FAILED: {type(error).__name__}: {opts.one_line(error)[:300]}", False


def work(args: argparse.Namespace) -> int:
    """Try all steps. Return 0, or 1 if one of them failed."""
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device here; pass --device cpu to see that the program works")
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{name}, PyTorch {torch.__version__}; {args.frames} frames of {args.size} x {args.size} pixels\n"
          "| what | found | seconds |\n|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as folder, tf32(False):
        trial = Trial(args, Path(folder))
        for step, function in trial.steps().items():
            start = time.perf_counter()
            with (Path(folder) / "log").open("a") as log, redirect_stdout(log):
                found, good = attempt(function)
            failed += not good
            print(f"| {step} | {found} | {time.perf_counter() - start:.1f} |", flush=True)
    return int(failed > 0)


def main(argv: list[str] | None = None) -> int:
    return opts.run(build_parser(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
