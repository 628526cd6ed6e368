"""Training: the image network's vectors computed once when it is frozen, then epochs as plain functions.

Each epoch draws its randomness from (seed, epoch) alone, so a resumed run repeats an uninterrupted one exactly.
"""

import copy
import math
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Subset, WeightedRandomSampler
from tqdm import tqdm

from model import distributed
from model.checkpoint import load_weights, read_checkpoint, save_checkpoint
from model.fast.folding import folded
from runtime import processes

GRADIENT_NORM = 5.0
FRAMES = 16  # through the frozen backbone at a time; more are slower on a CPU


class MirroredClips(Dataset):
    """A data set of (clip (T, C, H, W), label) that shows each clip mirrored or not, drawn anew for each epoch."""

    def __init__(self, dataset):
        self.dataset, self.labels = dataset, dataset.labels
        self.mirrored = [False] * len(dataset)

    def __len__(self):
        return len(self.dataset)

    def draw(self, generator):
        self.mirrored = (torch.rand(len(self), generator=generator) < 0.5).tolist()

    def __getitem__(self, index):
        clip, label = self.dataset[index]
        return (clip.flip(-1) if self.mirrored[index] else clip), label


class Vectors(Dataset):
    """Kept vectors (N, views, T, P) of a frozen backbone; an item is one view (T, P) of a clip and its label."""

    def __init__(self, vectors, labels):
        self.vectors, self.labels = vectors, labels
        self.view = torch.zeros(len(labels), dtype=torch.long)

    def __len__(self):
        return len(self.labels)

    def draw(self, generator):
        self.view = torch.randint(self.vectors.shape[1], (len(self),), generator=generator)

    def __getitem__(self, index):
        return self.vectors[index, self.view[index]], self.labels[index]


class AfterBackbone(nn.Module):
    """A model from the backbone's vectors on: (B, T, P) -> (B, classes)."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, vectors):
        return self.model.classify(self.model.project(vectors))


class ShareSampler(BatchSampler):
    """Batches of indices, of each the share of this process."""

    def __iter__(self):
        return (batch[distributed.share(len(batch))] for batch in super().__iter__())


def own_loader(dataset, batch_size=1, workers=0):
    """A loader of this process's share of a data set, in order."""
    return DataLoader(Subset(dataset, processes.own(len(dataset))), batch_size, num_workers=workers)


def check_frames(model: nn.Module, size: int, duration: int, finetune: bool, n_clips: int, batch_size: int) -> None:
    """Raise ValueError if frames are too small for the backbone, or batches are too small to train it."""
    smallest_batch = n_clips % batch_size or batch_size
    n_frames = min(duration * smallest_batch, 2)
    frames = torch.zeros(n_frames, 1, 3, size, size, device=next(model.parameters()).device)
    try:
        with torch.no_grad():
            copy.deepcopy(model).train(finetune).describe(frames)
    except RuntimeError as error:
        raise ValueError(f"--sample_size {size}: {model.config['backbone']} cannot take frames of that size "
                         f"({str(error)[:120]}); give another") from error
    except ValueError as error:  # of batch norm
        raise ValueError(f"--finetune: a batch would hold a single frame ({n_clips} clips of one frame, in batches of "
                         f"{batch_size}), too few for batch norm; give another --batch_size or a longer "
                         "--sample_duration") from error


@torch.no_grad()
def keep_vectors(model, dataset, device, mirrored=False, workers=0, name=""):
    """Run the backbone over a data set once; with `mirrored`, over the mirrored clips too. Returns Vectors."""
    vectors, fast = [], folded(model)
    for clip, _ in tqdm(own_loader(dataset, workers=workers), desc=f"{name} features", unit="clip", disable=None):
        views = torch.cat([clip, clip.flip(-1)]) if mirrored else clip  # (views, T, C, H, W)
        frames = views.flatten(0, 1)[:, None].to(device)  # (views * T, 1, C, H, W)
        described = torch.cat([fast.describe(some) for some in frames.split(FRAMES)])
        vectors.append(described.cpu().view(*views.shape[:2], -1))
    return Vectors(torch.stack(processes.merged(vectors)), torch.as_tensor(dataset.labels))


def train(model, info, training, validation, folder, *, finetune, n_epochs, batch_size, lr_rate, weight_decay, seed,
        device, workers=0, save_interval=None, log_interval=None, log=None):
    """Train on from folder/last.pth, or from the start; keep last.pth after each epoch and best.pth by validation.

    training, validation: data sets of (input, label); inputs are clips where `finetune`, else Vectors' items. Without
    validation (None) the last epoch's model is the best. Every `save_interval` epochs the model stays as epoch_N.pth,
    every `log_interval` batches a line is printed, after each epoch `log` is called with the rows so far, which are
    then in last.pth (and at the start, with those of an earlier run).
    Returns the rows of the log, a dict per epoch. ValueError where last.pth is of another run, and where training
    diverges; the state before is then kept.
    """
    forward = model if finetune else AfterBackbone(model)
    parameters = [weight for name, weight in model.named_parameters() if finetune or not name.startswith("backbone.")]
    optimizer = torch.optim.Adam(parameters, lr=lr_rate, weight_decay=weight_decay)
    history = _resume(folder / "last.pth", model, info, optimizer)
    if history and log:
        log(history)
    shared = distributed.share_batches(forward, parameters)
    loader = validation and own_loader(validation, batch_size, workers)
    with tqdm(total=n_epochs, initial=len(history), desc="training", unit="epoch", disable=None) as progress:
        for epoch in range(len(history) + 1, n_epochs + 1):
            batches = epoch_batches(training, batch_size, seed, epoch, workers)
            model.train()
            loss, accuracy = train_epoch(shared, parameters, batches, optimizer, device, log_interval, epoch)
            model.eval()
            history.append({"epoch": epoch, "train_loss": loss, "train_accuracy": accuracy})
            if loader:
                held_out, share, _ = evaluate(forward, loader, device, len(info.classes))
                history[-1] |= {"validation_loss": held_out, "validation_accuracy": share}
            info = replace(info, epoch=epoch)
            processes.by_first(_keep, folder, model, info, optimizer, history, save_interval)
            if log:
                log(history)
            progress.set_postfix({name: f"{value:.3f}" for name, value in history[-1].items() if name != "epoch"})
            progress.update(1)
    return history


def _keep(folder, model, info, optimizer, history, save_interval):
    if history[-1] is best_epoch(history):
        save_checkpoint(folder / "best.pth", model, info)
    if save_interval and info.epoch % save_interval == 0:
        save_checkpoint(folder / f"epoch_{info.epoch}.pth", model, info)
    save_checkpoint(folder / "last.pth", model, info, optimizer=optimizer.state_dict(), history=history)


def best_epoch(history):
    """The row with the highest validation accuracy, of several the one with the lowest loss; the last without them."""
    if "validation_loss" not in history[-1]:
        return history[-1]
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))


def epoch_batches(dataset, batch_size, seed, epoch, workers=0):
    """A loader over one epoch, all of whose chance comes from (seed, epoch): order, mirroring, dropout.

    Where classes are uneven each is drawn as often as the others. Of each batch it gives the share of this process.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    torch.manual_seed(generator.initial_seed())
    dataset.draw(generator)
    labels = torch.as_tensor(dataset.labels)
    counts = torch.bincount(labels)
    if len(counts[counts > 0].unique()) > 1:
        sampler = WeightedRandomSampler((1.0 / counts[labels]).tolist(), len(labels), generator=generator)
    else:
        sampler = RandomSampler(dataset, generator=generator)
    return DataLoader(dataset, batch_sampler=ShareSampler(sampler, batch_size, drop_last=False), num_workers=workers)


def train_epoch(forward, parameters, loader, optimizer, device, log_interval=None, epoch=None):
    """One pass over the loader. Returns (mean loss, accuracy). ValueError where loss or gradients are not finite.

    Every `log_interval` batches the mean loss of these is printed.
    """
    correct, loss_sum, losses = 0, 0.0, []
    n_clips, batch_size = len(loader.dataset), loader.batch_sampler.batch_size
    for start, (inputs, labels) in zip(range(0, n_clips, batch_size), loader, strict=True):
        inputs, labels = inputs.to(device), labels.to(device)
        n_whole = min(batch_size, n_clips - start)
        weight = distributed.begin_batch(n_whole)
        scores = forward(inputs)
        loss = cross_entropy(scores, labels) * (weight * len(labels) / n_whole)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise ValueError(f"training diverged (loss {loss.item()}, gradient norm {norm.item()}); what is kept is "
                             "from the epoch before, start again with a lower --lr_rate")
        optimizer.step()
        correct += (scores.argmax(1) == labels).sum().item() * weight
        losses.append(loss.item())
        loss_sum += losses[-1] * n_whole
        if log_interval and len(losses) % log_interval == 0:
            mean = sum(processes.gather(sum(losses[-log_interval:]))) / processes.world() / log_interval
            tqdm.write(f"epoch {epoch}, batch {len(losses)} of {len(loader)}: loss {mean:.4f}")
    if not all(torch.isfinite(weight).all() for weight in parameters):
        raise ValueError("training diverged (weights are not finite); start again with a lower --lr_rate")
    correct, loss_sum = map(sum, zip(*processes.gather((correct, loss_sum)), strict=True))
    return loss_sum / (n_clips * processes.world()), correct / (n_clips * processes.world())


@torch.no_grad()
def evaluate(forward, loader, device, n_classes):
    """(mean loss, accuracy, confusion (true class, predicted class)) over a loader, or those of all processes.

    ValueError for an infinite loss.
    """
    loss_sum, confusion = 0.0, torch.zeros(n_classes, n_classes, dtype=torch.long)
    for inputs, labels in loader:
        scores = forward(inputs.to(device)).cpu()
        loss_sum += cross_entropy(scores, labels, reduction="sum").item()
        confusion.index_put_((labels, scores.argmax(1)), torch.ones_like(labels), accumulate=True)
    loss_sum, confusion = map(sum, zip(*processes.gather((loss_sum, confusion)), strict=True))
    if not math.isfinite(loss_sum):
        raise ValueError(f"training diverged (loss {loss_sum} on held-out clips); start again with a lower --lr_rate")
    total = confusion.sum().item()
    return loss_sum / total, confusion.trace().item() / total, confusion


def _resume(path, model, info, optimizer):
    """Bring model and optimizer to where the file left them. Returns the rows of the log until then."""
    if not path.is_file():
        return []
    checkpoint, settings = read_checkpoint(path), optimizer.state_dict()["param_groups"]
    try:
        if checkpoint["classes"] != info.classes:
            raise ValueError(f"it knows {', '.join(checkpoint['classes'])}, the data has {', '.join(info.classes)}")
        load_weights(model, checkpoint["state_dict"])
        optimizer.load_state_dict({"state": checkpoint["optimizer"]["state"], "param_groups": settings})
        if not (all(_fits(*item) for item in optimizer.state.items()) and _is_log(checkpoint["history"])):
            raise ValueError("its optimizer or its log cannot go on")
        return checkpoint["history"]
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is of another run ({str(error)[:120]}); give another --result_path, or --overwrite "
                         "to start again") from error


def _fits(parameter, state):
    """Whether what Adam remembers of a parameter has its shape."""
    shapes = {name: getattr(value, "shape", None) for name, value in state.items()}
    return shapes == {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}


def _is_log(history):
    """Whether these are rows of numbers, one for each epoch from the first on."""
    return isinstance(history, list) and all(
        isinstance(row, dict) and row.get("epoch") == number and row.keys() == history[0].keys()
        and all(isinstance(value, int | float) for value in row.values()) for number, row in enumerate(history, start=1)
    )
