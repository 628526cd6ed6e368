"""Compare the error that cutting directions causes in TSR with the estimate that the error bound rests on.

    python3 -m tests.benchmarks.stretch
    python3 -m tests.benchmarks.stretch --base gradient
    python3 -m tests.benchmarks.stretch --base gradient --resume_path model/pretrained/kth_mobilenet_v2.pth

Without a checkpoint, the model is a ResNet-18 whose LSTM head learns to tell one walker from one runner; --random
leaves the head as it is. For some frames, the residuals of the perturbations with the largest ones go through the
Jacobian at
several ranks. A JSON line per frame tells the true errors of their maps, divided by the estimate before it is doubled;
above 2 the bound would be wrong. It also tells the rank at the default tolerance if the error allowed is shared equally
among 25 frames, and the passes that directions of the stacked variants would take for no larger a residual.
"""

import argparse
import json
import sys

import torch

from model.checkpoint import load_model
from model.cnn_lstm import CNNLSTM
from saliency.fills import background
from saliency.methods.rescaling import VARIANTS
from saliency.patches import patch_boxes
from saliency.tsr.algorithm import MEMORY
from saliency.tsr.factored import FactoredRelevance
from saliency.tsr.low_rank import SAFETY
from tests.benchmarks.tsr import train_head, variants_of, walker

TOLERANCE, FRAMES_SHARING = 1e-3, 25


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=48, help="side of the frames")
    parser.add_argument("--patch", type=int, default=6)
    parser.add_argument("--masked", type=int, default=7, help="frames whose patches are masked, every second one")
    parser.add_argument("--frames", type=int, nargs="+", default=[29, 25], help="frames that are looked at")
    parser.add_argument("--ranks", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--largest", type=int, default=3, help="perturbations that are looked at, at each rank")
    parser.add_argument("--resume_path", default=None, help="a model of main.py instead of a ResNet-18")
    parser.add_argument("--random", action="store_true", help="leave the head random")
    parser.add_argument("--base", choices=tuple(VARIANTS), default="integrated_gradients")
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    return parser


class Deviations(FactoredRelevance):
    """An engine that keeps the deviations (P, T, n * D) and leaves the other frames out."""

    def _add_other_frames(self, deviations, delta, progress):
        self.deviations = deviations
        return 0.0


def stacked_passes(deviations, residual):
    """Passes that the fewest directions of stacked variants (P, n, D) take for rests of at most `residual`."""
    rows = deviations.flatten(1).double()
    _, _, directions = torch.linalg.svd(rows, full_matrices=False)
    rests = (rows @ directions.T).square().flip(1).cumsum(1).flip(1).sqrt().amax(0)
    return deviations.shape[1] * int((rests > residual).sum())


def ratios(engine, t, factors, deviations, rank, largest):
    """True errors of the perturbations with the largest rests at one rank, divided by the estimate."""
    rests, coefficients = deviations.clone(), factors.coefficients(rank)
    for variant in range(deviations.shape[1]):
        chosen = (factors.variants[:rank] == variant).nonzero()[:, 0]
        rests[:, variant] -= coefficients[:, chosen] @ factors.directions[chosen]
    rests = rests.flatten(1)
    worst = rests[rests.norm(dim=1).topk(largest).indices]
    errors = engine._products(torch.tensor([t]), worst[:, None]).flatten(1).abs().sum(1)
    return (SAFETY * errors / factors.errors[rank]).tolist()


def main(argv=None):
    args = build_parser().parse_args(argv)
    torch.manual_seed(0)
    model = load_model(args.resume_path)[0] if args.resume_path else CNNLSTM(2).eval()
    model, clip = model.requires_grad_(False), walker(30, args.size, torch.device("cpu"))
    if not (args.random or args.resume_path):
        train_head(model, len(clip), args.size, clip.device)
    variants, fill = tuple(variants_of(args.base, args)(clip)), background(clip)
    engine = Deviations(model, clip, 0, "logit", TOLERANCE, MEMORY * 1e9, variants)
    boxes, _ = patch_boxes(args.size, args.size, args.patch)
    masked = torch.arange(len(clip) - 1, -1, -2)[:args.masked].repeat_interleave(len(boxes))
    delta, _ = engine.changes(masked, boxes.repeat(args.masked, 1), fill)
    allowed = TOLERANCE * float(delta.max()) / FRAMES_SHARING
    for t in args.frames:
        deviations = engine.deviations[:, t].unflatten(1, (len(variants), -1))
        factors = engine._factors([t], engine.deviations.clone(), [0.0])[t]
        engine._probe_deeper({t: factors}, [factors.smallest_rank(allowed)[0]])
        rank, _ = factors.smallest_rank(allowed)
        tried = [min(each, len(factors.directions)) for each in args.ranks]
        found = [ratio for each in tried for ratio in ratios(engine, t, factors, deviations, each, args.largest)]
        print(json.dumps({
            "base": args.base, "perturbations": len(masked), "frame": t, "ranks": tried,
            "least": round(min(found), 2), "largest": round(max(found), 2),
            "passes": rank, "passes_stacked": stacked_passes(deviations, float(factors.residuals[rank])),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
