"""Time TSR's fast arithmetic against the literal loop, on the same model and clip in one run. Prints a JSON line each.

    python3 -m tests.benchmarks.tsr                                     # T=30, 120x120, 10x10 patches
    python3 -m tests.benchmarks.tsr --frames 15 30 60 --sizes 64 120 150 224 --tolerances 1e-3 0
    python3 -m tests.benchmarks.tsr --resume_path snapshots/run/best.pth
    python3 -m tests.benchmarks.tsr --head transformer --train          # another head
    python3 -m tests.benchmarks.tsr --bases gradient_x_input smoothgrad # other maps than the gradient

The literal loop's time is that of the median of --passes of its passes times their number; these passes are also what
the deltas are compared with. The engine's is the median of --repeats runs, spread over these passes. Without a
checkpoint the model is a ResNet-18 with the head --head, weights random, the clip a synthetic walker. With --train the
head learns first, for half a minute, to tell one walker from one runner in clips of the first size: trained models need
far fewer products than random ones. `peak_share` is what the same frame passes would take at the speed of the machine's
matrix product, divided by what they took; above 1 where work was spared within the passes.
"""

import argparse
import json
import resource
import sys
import time
from functools import partial
from statistics import median
from types import SimpleNamespace

import torch
from torch.utils.flop_counter import FlopCounterMode

from data.clips import resize, to_duration
from data.synthetic.people import synthesize
from model.checkpoint import load_model
from model.cnn_lstm import CNNLSTM
from model.heads import HEADS
from model.preprocessing import IMAGENET_MEAN, IMAGENET_STD, normalise
from saliency.fills import background
from saliency.methods.rescaling import VARIANTS
from saliency.patches import patch_boxes
from saliency.tsr.algorithm import default_memory, magnitude
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.literal import LiteralRelevance


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[30])
    parser.add_argument("--sizes", type=int, nargs="+", default=[120])
    parser.add_argument("--patch", type=int, default=10)
    parser.add_argument("--tolerances", type=float, nargs="+", default=[1e-3])
    parser.add_argument("--passes", type=int, default=12, help="literal passes that are timed and compared")
    parser.add_argument("--repeats", type=int, default=3, help="runs of the engine, spread over the literal passes")
    parser.add_argument("--resume_path", default=None, help="a model of main.py instead of a ResNet-18")
    parser.add_argument("--head", choices=tuple(HEADS), default="lstm", help="head of the ResNet-18")
    parser.add_argument("--train", action="store_true", help="a trained head instead of a random one")
    parser.add_argument("--bases", choices=tuple(VARIANTS), nargs="+", default=["gradient"], help="maps to rescale")
    parser.add_argument("--points", type=int, default=16, help="points of integrated gradients")
    parser.add_argument("--samples", type=int, default=8, help="copies of SmoothGrad")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak_size", type=int, default=2048, help="side of the matrices whose product is timed")
    return parser


def matmul_peak(device, size, repeats=8):
    """Floating-point operations per second of this machine's matrix product."""
    a = torch.randn(size, size, device=device)
    _, seconds = timed(lambda: [a @ a for _ in range(2)], device)
    _, seconds = timed(lambda: [a @ a for _ in range(repeats)], device)
    return repeats * 2 * size**3 / seconds


def timed(work, device):
    """(result, seconds) of work(), the device's queue included.

    With a single thread they are seconds of the processor, so that other work on a busy machine does not count.
    """
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, clock() - begin


def pass_flops(model, clip):
    """Floating-point operations of one frame through the encoder, forward and backward, as PyTorch counts them."""
    frame = clip[:1].clone().requires_grad_(True)
    with FlopCounterMode(display=False) as forward:
        encoded = model.encode(frame[None])
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(encoded.sum(), frame)
    return forward.get_total_flops(), backward.get_total_flops()


def train_head(model, frames, size, device, steps=60):
    """Everything behind the backbone learns to tell windows of a walker from windows of a runner."""
    clips = [walker(frames, size, device, seed, action) for seed in range(4) for action in ("walking", "running")]
    with torch.no_grad():
        vectors = torch.cat([model.describe(clip[None]) for clip in clips])  # (8, T, P)
    labels = torch.tensor([0, 1], device=device).repeat(4)
    trained = [weight for name, weight in model.named_parameters() if not name.startswith("backbone.")]
    optimizer = torch.optim.Adam([weight.requires_grad_(True) for weight in trained], lr=1e-3)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model.classify(model.project(vectors)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.requires_grad_(False)
    print(f"the head was trained: loss {loss.item():.3f} on its 8 clips", file=sys.stderr)


def walker(frames, size, device, seed=0, action="walking"):
    pictures, _, ranges = synthesize(seed, 1, 1, action, passes=1)
    middle = to_duration(pictures[ranges[0][0] - 1:ranges[0][1]], frames)
    return normalise(resize(middle, size)[..., None].repeat(3, -1), IMAGENET_MEAN, IMAGENET_STD).to(device)


def variants_of(base, args):
    """Return the function that makes the variants of a clip for a base."""
    options = {"points": args.points} if base == "integrated_gradients" else {}
    return partial(VARIANTS[base], **options, **({"samples": args.samples} if base.startswith("smoothgrad") else {}))


def run_engine(model, clip, variants, patch, tolerance):
    """One whole TSR: what it perturbed, what it found, and the seconds of the time step (setup included) and of all."""
    fill, device = background(clip), clip.device
    boxes, _ = patch_boxes(*clip.shape[-2:], patch, device)
    whole = boxes.new_tensor([0, clip.shape[2], 0, clip.shape[3]]).expand(len(clip), 4)
    every = torch.arange(len(clip), device=device)
    memory = 1e9 * default_memory(device)
    engine, setup = timed(
        lambda: FactoredRelevance(model, clip, 0, "logit", tolerance, memory, tuple(variants(clip))), device)
    (time_delta, time_bound), time_step = timed(lambda: engine.changes(every, whole, fill), device)
    important = time_delta.argsort()[1 + int(0.55 * (len(clip) - 1)):].sort().values  # also if all deltas are equal
    frames, places = important.repeat_interleave(len(boxes)), boxes.repeat(len(important), 1)
    (patch_delta, patch_bound), patch_step = timed(lambda: engine.changes(frames, places, fill), device)
    return SimpleNamespace(
        every=every, whole=whole, frames=frames, places=places, time_delta=time_delta, patch_delta=patch_delta,
        error_bound=max(time_bound, patch_bound), passes=engine.passes,
        time_seconds=setup + time_step, seconds=setup + time_step + patch_step,
    )  # fmt: skip


def measure(model, clip, patch, tolerance, passes, repeats, peak, variants):
    """One line: seconds of both, their ratio for the time step and for all, and the largest relative difference."""
    device, length = clip.device, len(clip)
    literal, fill = LiteralRelevance(clip, magnitude(model, clip, 0, "logit", variants)), background(clip)
    runs = [run_engine(model, clip, variants, patch, tolerance)]
    found = runs[0]
    chosen = torch.linspace(0, len(found.frames) - 1, passes).long()
    exact, literal_seconds = [], []
    for one in chosen.split(1):
        if len(runs) <= len(exact) * repeats // passes:
            runs.append(run_engine(model, clip, variants, patch, tolerance))
        (delta, _), seconds = timed(partial(literal.changes, found.frames[one], found.places[one], fill), device)
        exact.append(delta)
        literal_seconds.append(seconds)
    exact_time, _ = literal.changes(found.every[-3:], found.whole[-3:], fill)
    per_pass = median(literal_seconds)
    fast, fast_time = median(run.seconds for run in runs), median(run.time_seconds for run in runs)
    count, flops = 1 + length + len(found.frames), pass_flops(model, clip)
    ideal = sum(passes * each for passes, each in zip(found.passes, flops, strict=True)) / peak
    return {
        "variants": len(tuple(variants(clip))), "head": model.config["head"], "device": str(device), "T": length,
        "size": clip.shape[-1], "patch": patch, "tolerance": tolerance,
        "perturbations": count - 1, "literal_s": round(per_pass * count, 2), "engine_s": round(fast, 2),
        "ratio": round(per_pass * count / fast, 1),
        "ratio_time_step": round(per_pass * (1 + length) / fast_time, 1),
        "max_error_time": float((exact_time - found.time_delta[-3:]).abs().max() / found.time_delta.max()),
        "max_error_patch": float((torch.cat(exact) - found.patch_delta[chosen]).abs().max() / found.patch_delta.max()),
        "error_bound": found.error_bound, "engine_forward": found.passes[0], "engine_backward": found.passes[1],
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "matmul_peak_gflops": round(peak / 1e9, 1), "peak_share": round(ideal / fast, 2),
    }  # fmt: skip


def main(argv=None):
    args = build_parser().parse_args(argv)
    device = torch.device(args.device)
    torch.manual_seed(0)
    model = load_model(args.resume_path)[0] if args.resume_path else CNNLSTM(2, head=args.head).eval()
    model = model.to(device).requires_grad_(False)
    if args.train:
        train_head(model, args.frames[0], args.sizes[0], device)
    peak = matmul_peak(device, args.peak_size)
    for frames in args.frames:
        for size in args.sizes:
            clip = walker(frames, size, device)
            for name in args.bases:
                for tolerance in args.tolerances:
                    line = measure(model, clip, args.patch, tolerance, args.passes, args.repeats, peak,
                                   variants_of(name, args))
                    print(json.dumps({"base": name} | line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
