"""Training: the image network's vectors computed once when it is frozen, then epochs as plain functions.

Each epoch draws its randomness from (seed, epoch) alone, so a resumed run repeats an uninterrupted one exactly.
"""

import math
from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, RandomSampler, WeightedRandomSampler
from tqdm import tqdm

from model.checkpoint import read_checkpoint, save_checkpoint
from model.folding import folded

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


@torch.no_grad()
def keep_vectors(model, dataset, device, mirrored=False, workers=0, name=""):
    """Run the backbone over a data set once; with `mirrored`, over the mirrored clips too. Returns Vectors."""
    vectors, labels = [], []
    loader = DataLoader(dataset, num_workers=workers)
    fast = folded(model)
    for clip, label in tqdm(loader, desc=f"{name} features", unit="clip", disable=None):
        views = torch.cat([clip, clip.flip(-1)]) if mirrored else clip  # (views, T, C, H, W)
        frames = views.flatten(0, 1)[:, None].to(device)  # (views * T, 1, C, H, W)
        described = torch.cat([fast.describe(some) for some in frames.split(FRAMES)])
        vectors.append(described.cpu().view(*views.shape[:2], -1))
        labels.append(label)
    return Vectors(torch.stack(vectors), torch.cat(labels))


def fit(model, info, training, validation, folder, *, finetune, n_epochs, batch_size, lr_rate, weight_decay, seed,
        device, workers=0):
    """Train on from folder/last.pth, or from the start; keep last.pth after each epoch and best.pth by validation.

    training, validation: data sets of (input, label); inputs are clips where `finetune`, else Vectors' items. Without
    validation (None) the last epoch's model is the best.
    Returns the rows of the log, a dict per epoch. ValueError where last.pth is of another run, and where training
    diverges; the state before is then kept.
    """
    forward = model if finetune else lambda vectors: model.classify(model.project(vectors))
    parameters = [weight for name, weight in model.named_parameters() if finetune or not name.startswith("backbone.")]
    optimizer = torch.optim.Adam(parameters, lr=lr_rate, weight_decay=weight_decay)
    history = _resume(folder / "last.pth", model, info, optimizer)
    loader = validation and DataLoader(validation, batch_size, num_workers=workers)
    with tqdm(total=n_epochs, initial=len(history), desc="training", unit="epoch", disable=None) as progress:
        for epoch in range(len(history) + 1, n_epochs + 1):
            batches = epoch_batches(training, batch_size, seed, epoch, workers)
            model.train()
            loss, accuracy = train_epoch(forward, parameters, batches, optimizer, device)
            model.eval()
            history.append({"epoch": epoch, "train_loss": loss, "train_accuracy": accuracy})
            if loader:
                held_out, share, _ = evaluate(forward, loader, device, len(info.classes))
                history[-1] |= {"validation_loss": held_out, "validation_accuracy": share}
            info = replace(info, epoch=epoch)
            if history[-1] is best_epoch(history):
                save_checkpoint(folder / "best.pth", model, info)
            save_checkpoint(folder / "last.pth", model, info, optimizer=optimizer.state_dict(), history=history)
            progress.set_postfix({name: f"{value:.3f}" for name, value in history[-1].items() if name != "epoch"})
            progress.update(1)
    return history


def best_epoch(history):
    """The row with the highest validation accuracy, of several the one with the lowest loss; the last without them."""
    if "validation_loss" not in history[-1]:
        return history[-1]
    return max(history, key=lambda row: (row["validation_accuracy"], -row["validation_loss"]))


def epoch_batches(dataset, batch_size, seed, epoch, workers=0):
    """A loader over one epoch, all of whose chance comes from (seed, epoch): order, mirroring, dropout.

    Where classes are uneven each is drawn as often as the others.
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
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=workers)


def train_epoch(forward, parameters, loader, optimizer, device):
    """One pass over the loader. Returns (mean loss, accuracy). ValueError where loss or gradients are not finite."""
    total, correct, loss_sum = 0, 0, 0.0
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        scores = forward(inputs)
        loss = cross_entropy(scores, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise ValueError(
                f"training diverged (loss {loss.item()}, gradient norm {norm.item()}); what is kept is from the epoch "
                "before, start again with a lower --lr_rate"
            )
        optimizer.step()
        total += len(labels)
        correct += (scores.argmax(1) == labels).sum().item()
        loss_sum += loss.item() * len(labels)
    if not all(torch.isfinite(weight).all() for weight in parameters):
        raise ValueError("training diverged (weights are not finite); start again with a lower --lr_rate")
    return loss_sum / total, correct / total


@torch.no_grad()
def evaluate(forward, loader, device, n_classes):
    """(mean loss, accuracy, confusion (true class, predicted class)) over a loader. ValueError for an infinite loss."""
    confusion = torch.zeros(n_classes, n_classes, dtype=torch.long)
    loss_sum = 0.0
    for inputs, labels in loader:
        scores = forward(inputs.to(device)).cpu()
        loss_sum += cross_entropy(scores, labels, reduction="sum").item()
        confusion.index_put_((labels, scores.argmax(1)), torch.ones_like(labels), accumulate=True)
    if not math.isfinite(loss_sum):
        raise ValueError(f"training diverged (loss {loss_sum} on held-out clips); start again with a lower --lr_rate")
    total = confusion.sum().item()
    return loss_sum / total, confusion.trace().item() / total, confusion


def _resume(path, model, info, optimizer):
    """Bring model and optimizer to where the file left them. Returns the rows of the log until then."""
    if not path.is_file():
        return []
    checkpoint = read_checkpoint(path)
    try:
        if checkpoint["classes"] != info.classes:
            raise ValueError(f"it knows {', '.join(checkpoint['classes'])}, the data has {', '.join(info.classes)}")
        model.load_state_dict(checkpoint["state_dict"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        return checkpoint["history"]
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{path} is of another run ({str(error)[:120]}); give another --result_path, or --overwrite to start again"
        ) from error
