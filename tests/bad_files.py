"""Damaged and hostile files of every kind that the scripts read."""

import os
import shutil
import struct
import zlib

import cv2
import numpy as np
import torch

from data.annotation import read_annotation, write_annotation
from tests.tiny_data import CLIP

TRAINED_ON, RUNNING = "person11_walking_d1_1", "person11_running_d1_1"  # of the training subset


class Evil:
    """Unpickled, it would leave a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def png_that_claims(width, height):
    """Return the bytes of a picture without pixels."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def damage_images(bad, images):
    """Copy the images once per kind of damage; in each copy a clip for training and one for testing are broken."""
    with np.load(images / "walking" / CLIP / "masks.npz") as archive:
        masks = archive["masks"]
    for kind in ("zero_bytes", "cut_short", "text", "bomb", "sizes", "count", "fewer", "masks"):
        shutil.copytree(images / "running" / RUNNING, bad / kind / "running" / RUNNING)  # each class needs a clip
        for clip in (TRAINED_ON, CLIP, "person19_walking_d1_1"):
            folder = shutil.copytree(images / "walking" / clip, bad / kind / "walking" / clip)
            if clip == "person19_walking_d1_1":
                continue
            second = folder / "image_00002.jpg"
            if kind == "sizes":
                cv2.imwrite(str(second), np.zeros((8, 8, 3), np.uint8))
            elif kind in ("count", "fewer"):
                (folder / "n_frames").write_text("many" if kind == "count" else "9")
            elif kind == "masks":
                np.savez(folder / "masks.npz", masks=masks[:-1])
            else:
                second.write_bytes({"zero_bytes": b"", "cut_short": second.read_bytes()[:200], "text": b"a picture",
                                    "bomb": png_that_claims(60000, 60000)}[kind])


def damage_annotations(bad, annotation):
    """Write annotations that do not fit the data, and files that are none."""
    labels, clips, *_ = read_annotation(annotation)
    write_annotation(bad / "ghosts.json", labels, {f"ghost{k}": entry for k, entry in enumerate(clips.values())})
    write_annotation(bad / "untrained.json", labels, {"person19_walking_d1_1": ("validation", "walking")})
    write_annotation(bad / "three.json", [*labels, "flying"], clips)
    write_annotation(bad / "label.json", labels, {CLIP: ("testing", "flying")})
    write_annotation(bad / "subset.json", labels, {CLIP: ("exam", "walking")})
    write_annotation(bad / "escape.json", labels, {"../../secret": ("testing", "walking")})
    (bad / "cut.json").write_bytes(annotation.read_bytes()[:100])
    (bad / "deep.json").write_text("[" * 100_000)
    (bad / "list.json").write_text("[1, 2]")


def damage_checkpoints(bad, checkpoint):
    """Write checkpoints that are damaged, hostile or of another kind."""
    content = torch.load(checkpoint, weights_only=True)
    (bad / "cut.pth").write_bytes(checkpoint.read_bytes()[:-5000])
    (bad / "text.pth").write_text("weights")
    torch.save(torch.zeros(3), bad / "tensor.pth")
    torch.save({"weights": torch.zeros(3)}, bad / "other.pth")
    torch.save(content | {"extra": Evil(bad / "trace")}, bad / "pickle.pth")
    torch.save(content | {"config": content["config"] | {"hidden_size": 8}}, bad / "shape.pth")
    torch.save(content | {"model": "cnnlstm2"}, bad / "kind.pth")
    broken = {name: weight * torch.nan if "projection" in name else weight
              for name, weight in content["state_dict"].items()}
    torch.save(content | {"state_dict": broken}, bad / "nan.pth")
