"""Try on a CUDA device everything that this project does on one, and print one table. It takes less than ten minutes.

    python3 -m tests.benchmarks.cuda                                            # ends with status 2 without a GPU
    python3 -m tests.benchmarks.cuda --device cpu --size 32 --frames 6 --patch 16 --backbone squeezenet1_1

Clips of a moving block are written to a temporary folder. The scripts train on them, classify and explain them, on the
device and on the CPU, and the results are compared. TSR is timed against the literal loop. If there are several GPUs,
torchrun trains on all of them. With --device cpu every step runs on the CPU, which shows that this program works. If a
step fails, its error is in the table, and the exit status is 1.
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import opts
from data.annotation import write_annotation
from model.checkpoint import load_model, read_checkpoint
from runtime.errors import UserError
from saliency.gradient import frame_gradient
from saliency.tsr import temporal_saliency_rescaling
from tests.benchmarks.tsr import measure, timed, walker
from tests.runs import ROOT, run_command, saved
from tests.tiny_data import PERSONS, moving_block, places_in, write_clip


def build_parser() -> opts.Parser:
    """Return the parser of the options."""
    parser = opts.Parser(__doc__.splitlines()[0])
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu only shows that this program works")
    add("--processes", type=opts.positive_int, help="processes of torchrun (default: the number of GPUs)")
    add("--backbone", default="resnet18", help="torchvision network, with random weights")
    add("--size", type=opts.positive_int, default=120, help="side of the frames in pixels")
    add("--frames", type=opts.positive_int, default=30, help="frames per clip")
    add("--patch", type=opts.positive_int, default=10, help="side of TSR's patches in pixels")
    add("--passes", type=opts.positive_int, default=6, help="passes of the literal loop that are timed")
    add("--n_epochs", type=opts.positive_int, default=5)
    return parser


def make_clips(folder: Path, frames: int, size: int) -> SimpleNamespace:
    """Write a data set of moving blocks, a clip of `frames` frames per person and class. Return its paths."""
    places, clips = places_in(folder), {}
    for seed, (person, subset) in enumerate(PERSONS.items()):
        for label, speed in (("walking", 1), ("running", 4)):
            name = f"person{person}_{label}_d1_1"
            write_clip(places.images / label / name, *moving_block(speed, seed, frames, size))
            clips[name] = subset, label
    write_annotation(places.annotation, ["running", "walking"], clips)
    return places


class Trial:
    """One folder of clips and results, and the steps that are tried on a device. Each step returns its findings."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder, self.device = args, folder, torch.device(args.device)
        places = make_clips(folder / "data", args.frames, args.size)
        self.data = ["--annotation_path", places.annotation, "--video_path", places.images]
        self.processes = args.processes or (torch.cuda.device_count() if args.device == "cuda" else 1)

    def flags(self, name: str) -> list[str]:
        """Return the options that choose the device for the results `name`, which is the CPU for names in "_cpu"."""
        return ["--use_cuda"] if self.args.device == "cuda" and not name.endswith("_cpu") else []

    def use(self, script: str, name: str, *more: str) -> Path:
        """Run a script with the trained model. Return the folder of the results, whose name is `name`."""
        run_command(script, *self.data, "--resume_path", self.folder / "train" / "best.pth", "--result_path",
                    self.folder / name, "--subset", "all", *more, *self.flags(name))
        return self.folder / name

    def train_options(self, name: str, *more: str) -> list:
        """Return the options of a training in the folder `name`."""
        sizes = "--sample_size", self.args.size, "--sample_duration", self.args.frames, "--n_epochs", self.args.n_epochs
        return [*self.data, "--result_path", self.folder / name, "--backbone", self.args.backbone, "--batch_size", 4,
                "--backbone_weights", "none", "--hidden_size", 32, *sizes, *self.flags(name), *more]

    def last_loss(self, name: str) -> float:
        """Return the loss of the last epoch of a training."""
        return read_checkpoint(self.folder / name / "last.pth")["history"][-1]["train_loss"]

    def train(self) -> str:
        for name in ("train", "train_cpu"):
            run_command("main", *self.train_options(name))
        return f"loss of the last epoch {self.last_loss('train'):.4f}, on the CPU {self.last_loss('train_cpu'):.4f}"

    def finetune(self) -> str:
        run_command("main", *self.train_options("finetune", "--finetune"))
        return f"loss of the last epoch {self.last_loss('finetune'):.4f}"

    def classify(self) -> str:
        def probabilities(name):
            with (self.use("inference", name) / "predictions.csv").open(newline="") as file:
                return np.array([row[3:] for row in csv.reader(file)][1:], float)

        ours, cpu = probabilities("classify"), probabilities("classify_cpu")
        return f"{len(ours)} clips; largest difference of a probability from the CPU {np.abs(ours - cpu).max():.1e}"

    def explain(self, script: str, *more: str) -> str:
        ours, cpu = (self.use(script, name, "--limit", "1", *more) for name in (script, f"{script}_cpu"))
        paths = sorted(path.parent.relative_to(ours) for path in ours.rglob("saliency.npz"))
        parts = []
        for key, values in saved(ours / paths[0]).items():
            if values.dtype.kind == "f" and values.size > 1:
                before = saved(cpu / paths[0])[key]
                parts.append((np.abs(values - before).max() / max(np.abs(before).max(), 1e-30), key))
        worst, key = max(parts)
        return f"{len(parts)} arrays; largest difference from the CPU {worst:.1e} of the maximum, in {key}"

    def model_and_clip(self) -> tuple[torch.nn.Module, torch.Tensor]:
        """Return the trained model and a drawn walker, both on the device."""
        model, _ = load_model(self.folder / "train" / "best.pth", self.device)
        return model, walker(self.args.frames, self.args.size, self.device)

    def gradient(self) -> str:
        model, clip = self.model_and_clip()
        frame_gradient(model, clip, 0)  # warms up
        _, seconds = timed(partial(frame_gradient, model, clip, 0), self.device)
        return f"{seconds * 1000:.1f} ms for {len(clip)} frames of {clip.shape[-1]} x {clip.shape[-1]} pixels"

    def tsr(self) -> str:
        model, clip = self.model_and_clip()
        found = measure(model.requires_grad_(False), clip, self.args.patch, 1e-3, self.args.passes, 1, 1.0)
        worst = max(found["max_error_time"], found["max_error_patch"])
        return (f"{found['engine_s']} s, literal loop {found['literal_s']} s, ratio {found['ratio']}; "
                f"error {worst:.1e}, bound {found['error_bound']:.1e}")

    def amp(self) -> str:
        model, clip = self.model_and_clip()
        rescaling = partial(temporal_saliency_rescaling, model, clip, 0, patch=self.args.patch)
        full, seconds = timed(rescaling, self.device)
        half, faster = timed(partial(rescaling, amp=True), self.device)
        error = (half.time_delta - full.time_delta).abs().max() / full.time_delta.max()
        return (f"{faster:.1f} s, in full precision {seconds:.1f} s; sampled error {half.amp_error:.1e}, error of the "
                f"time step {error:.1e}")

    def memory(self) -> str:
        if self.device.type == "cuda":
            return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the device at most, in all steps above"
        return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB of this process at most"

    def several_processes(self) -> str:
        if self.processes == 1:
            return "not tried: one process"
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node",
                    str(self.processes), "main.py", *map(str, self.train_options("several"))]
        subprocess.run(torchrun, cwd=ROOT, check=True, capture_output=True, text=True)
        several, one = self.last_loss("several"), self.last_loss("train")
        return f"{self.processes} processes: loss of the last epoch {several:.4f}, with one process {one:.4f}"

    def steps(self) -> dict[str, Callable[[], str]]:
        """Return {what is tried: function}."""
        return {
            "training, frozen backbone": self.train, "training, whole network": self.finetune,
            "classification": self.classify, "gradient": self.gradient,
            "frame_saliency.py, --when, time step of TSR": partial(
                self.explain, "frame_saliency", "--no_overlay", "--tsr", "--tsr_step", "time"),
            "feature_saliency.py": partial(self.explain, "feature_saliency", "--tsr"),
            "TSR against the literal loop": self.tsr, "TSR in bfloat16": self.amp, "memory": self.memory,
            "several processes": self.several_processes,
        }


def attempt(step: Callable[[], str]) -> tuple[str, bool]:
    """Return (what a step found, True), or (its error in one line, False)."""
    try:
        return step(), True
    except subprocess.CalledProcessError as error:
        return f"FAILED: {opts.one_line(error.stderr)[-300:]}", False
    except (Exception, SystemExit) as error:
        return f"FAILED: {type(error).__name__}: {opts.one_line(error)[:300]}", False


def work(args: argparse.Namespace) -> int:
    """Try all steps. Return 0, or 1 if one of them failed."""
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device here; pass --device cpu to see that the program works")
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{name}, PyTorch {torch.__version__}; {args.backbone}, {args.frames} frames of {args.size} x {args.size} "
          "pixels\n| what | found | seconds |\n|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
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
