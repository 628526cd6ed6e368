"""What a network computes of clips, on disk, so that a second run on the same clips starts at once.

    cache = FeatureCache(Path("features"), model, settings="150 [0.485, 0.456, 0.406] ...")
    vectors = cache.load(key)           # or None
    cache.save(key, vectors)

A file is named after all that its content depends on: the network with its weights, how pixels are prepared, and the
clip. Files are never changed, so several runs can share a folder. If the folder becomes too large, the oldest files are
removed.
"""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from model.state_dicts import weights_digest
from runtime.files import whole_file

MOST_BYTES = 8 << 30  # of the files in a folder; 600 clips of 30 frames in two views take about 0.2 GiB


class FeatureCache:
    """A folder of vectors.

    settings: what the pixels depend on, as text. whole: the vectors depend on all weights of the model, and not only on
    those of its backbone. most_bytes: of all files in the folder.
    """

    def __init__(self, folder: Path, model: nn.Module, settings: str, whole: bool = False,
                 most_bytes: int = MOST_BYTES):
        self.folder, self.most_bytes = folder, most_bytes
        parts = [model] if whole else [part for _, part in model.backbone_modules()]
        self.prefix = f"{settings} {torch.__version__} {' '.join(map(weights_digest, parts))}"
        self._bytes = sum(path.stat().st_size for path in folder.glob("*.pt"))

    def _path(self, key: str) -> Path:
        name = f"{self.prefix} {key}".encode(errors="surrogateescape")
        return self.folder / f"{hashlib.sha256(name).hexdigest()[:32]}.pt"

    def load(self, key: str) -> torch.Tensor | None:
        """Return the vectors of a clip, mapped into memory, or None if they are not there or the file is damaged."""
        path = self._path(key)
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception:  # torch raises many kinds for a damaged file; the vectors are computed again
            return None

    def save(self, key: str, vectors: torch.Tensor) -> None:
        """Write the vectors of a clip, whole or not at all. The oldest files make room for them."""
        content = io.BytesIO()
        torch.save(vectors.contiguous(), content)
        self._bytes += content.tell()
        if self._bytes > self.most_bytes:
            self._make_room(content.tell())
        with whole_file(self._path(key)) as temporary:
            temporary.write_bytes(content.getbuffer())

    def _make_room(self, needed: int) -> None:
        """Remove the oldest files until a quarter of the room is free, so that this happens rarely."""
        files = [(path.stat().st_mtime_ns, path.stat().st_size, path) for path in self.folder.glob("*.pt")]
        self._bytes = sum(size for _, size, _ in files) + needed
        for _, size, path in sorted(files):
            if self._bytes <= 0.75 * self.most_bytes:
                break
            with suppress(OSError):  # another run has removed it
                path.unlink()
            self._bytes -= size
