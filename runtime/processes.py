"""The processes of a run that torchrun starts, on one machine or several, and how they share the work.

    torchrun --nproc_per_node=2 frame_saliency.py --tsr

    found = merged([explain(clips[index]) for index in own(len(clips))])     # every process gets the whole list

Without torchrun there is one process, which is the first, and every function here works at once.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import distributed
from torch.distributed.rendezvous import rendezvous

LOST = re.compile("gloo|nccl|c10d|tcpstore|peer", re.I)  # PyTorch's errors contain one of these if a process is gone
ENDED = "ended"  # the occasion on which a process tells why the run ends; only the first process to do so is heard
PATIENCE = timedelta(days=20)  # one process may work alone for long
_connection = SimpleNamespace(store=None, pid=None)  # the key-value store that all processes share, and who opened it


def world() -> int:
    """Return the number of processes."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def local_rank() -> int:
    """Return the number of this process among the processes of its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if world() > 1 else 0


def is_first() -> bool:
    """Return whether this is process 0."""
    return rank() == 0


@contextmanager
def together() -> Iterator[None]:
    """Connect the processes of torchrun during the block. All but the first print nothing, except through `tell`.

    At the end of the block the processes of torchrun end with status 0, at once: threads of DistributedDataParallel
    outlive its process group (PyTorch 2.14) and abort an interpreter that is taken down under them.
    """
    if world() == 1:
        yield
        return
    store = next(rendezvous("env://"))[0]
    distributed.init_process_group(timeout=PATIENCE, world_size=world(), rank=rank(), store=store)
    _connection.store, _connection.pid = store, os.getpid()
    with Path(os.devnull).open("w") as nowhere, ExitStack() as silence:
        if not is_first():
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        yield
    distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def tell(line: str, occasion: str | None = None) -> None:
    """Print a line on stderr, unless another process has printed it before.

    With `occasion`, print nothing if another process has printed any line on the same occasion.
    """
    if _connection.pid == os.getpid():  # a process that loads clips for this one must not use its connection
        try:  # the store keeps the first value that is written and returns it: the number of the process that may print
            chosen = _connection.store.compare_set(occasion or line, "", str(rank()))
        except RuntimeError:  # the connection is lost
            chosen = b""
        if chosen not in (b"", str(rank()).encode()):
            return
    print(line, file=sys.stderr if is_first() else sys.__stderr__)


def is_loss(error: BaseException) -> bool:
    """Return whether an exception says that another process is gone."""
    return world() > 1 and isinstance(error, RuntimeError) and LOST.search(str(error)) is not None


def gather(value: Any = None) -> list:
    """Return the values of all processes, in the order of their numbers, as soon as each process has called this.

    The calls may be hours apart. Raises RuntimeError (see `is_loss`) if another process ends before its call.
    """
    values = [value] * world()
    if world() > 1:
        distributed.all_gather_object(values, value)
    return values


def by_first(function: Callable[..., Any], *arguments: Any) -> None:
    """Call the function in the first process only. The other processes wait until it returns."""
    if is_first():
        function(*arguments)
    gather()


def held_by_first(context: AbstractContextManager) -> AbstractContextManager:
    """Return the context manager in the first process, and one that does nothing in the others."""
    return context if is_first() else nullcontext()


def own(count: int) -> range:
    """Return the indices of this process's share of `count` items: every world()-th index, starting at rank()."""
    return range(rank(), count, world())


def merged(share: list) -> list:
    """Return the items of all processes as one list in the original order; share: the items at the indices `own`."""
    shares = gather(share)
    return [shares[index % world()][index // world()] for index in range(sum(map(len, shares)))]
