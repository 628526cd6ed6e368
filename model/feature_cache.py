"""Vectors of a frozen backbone on disk, so that a second training on the same clips starts at once.

    cache = FeatureCache(Path("features"), model, settings="150 [0.485, 0.456, 0.406] ...")
    vectors = cache.load(key)           # or None
    cache.save(key, vectors)

A file is named after all that the vectors depend on: the backbone with its weights, how pixels are prepared, and the
clip. Files are never changed, so several runs can share a folder.
"""

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from runtime.files import whole_file
from runtime.names import portable


class FeatureCache:
    """A folder of vectors; settings: what the pixels depend on, as text."""

    def __init__(self, folder: Path, model: nn.Module, settings: str):
        self.folder = folder
        digest = hashlib.sha256(settings.encode())
        for _, part in model.backbone_modules():
            for name, weight in part.state_dict().items():
                digest.update(name.encode())
                digest.update(weight.cpu().numpy().tobytes())
        self.prefix = digest.hexdigest()

    def _path(self, key: str) -> Path:
        name = f"{self.prefix} {portable(key)}".encode(errors="surrogateescape")
        return self.folder / f"{hashlib.sha256(name).hexdigest()[:32]}.pt"

    def load(self, key: str) -> torch.Tensor | None:
        """Return the vectors of a clip, or None if they are not there or the file is damaged."""
        try:
            return torch.load(self._path(key), map_location="cpu", weights_only=True)
        except Exception:  # torch raises many kinds for a damaged file; the vectors are computed again
            return None

    def save(self, key: str, vectors: torch.Tensor) -> None:
        """Write the vectors of a clip, whole or not at all."""
        content = io.BytesIO()
        torch.save(vectors.contiguous(), content)
        with whole_file(self._path(key)) as temporary:
            temporary.write_bytes(content.getbuffer())
