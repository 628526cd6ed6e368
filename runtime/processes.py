"""The processes of a run that torchrun starts, on one machine or several: which this one is, and how they share work.

    torchrun --nproc_per_node=2 frame_saliency.py --tsr

    metrics = spread(explain, clips)     # every process explains its share and gets the whole list

Without torchrun there is one process, the first, and nothing here needs another. torch is imported where there are
more, because it takes seconds.
"""

import os
import re
import sys
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

from tqdm import tqdm

LOST = re.compile("gloo|nccl|c10d|tcpstore|peer", re.I)  # in what PyTorch says when another process is gone
ENDED = "ended"  # in the store: which process was the first to tell why it ends
_here = SimpleNamespace(store=None, process=None)


def world():
    """The number of processes."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank():
    """The number of this process, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def local_rank():
    """The same among those of this machine."""
    return int(os.environ["LOCAL_RANK"]) if world() > 1 else 0


def first():
    return rank() == 0


@contextmanager
def together():
    """Find the other processes; during the block all but the first are silent, but for `tell`."""
    if world() == 1:
        yield
        return
    from torch.distributed.rendezvous import rendezvous

    _here.store, _here.process = next(rendezvous("env://"))[0], os.getpid()
    with Path(os.devnull).open("w") as nowhere, ExitStack() as silence:
        for redirect in () if first() else (redirect_stdout, redirect_stderr):
            silence.enter_context(redirect(nowhere))
        yield
        leave()


def join(backend):
    """Be ready to exchange tensors with the other processes; backend: as for torch.distributed.init_process_group."""
    if world() > 1:
        from torch import distributed

        patience = timedelta(days=20)  # one process may work alone for long
        distributed.init_process_group(backend, None, patience, world(), rank(), _here.store)


def leave():
    """End the exchange in order: threads of it that are still there when Python ends can abort the process."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def tell(line, occasion=None):
    """Print a line on stderr, unless another process has told the same, or has told anything on the same occasion."""
    if _here.process == os.getpid():  # one that loads clips for this one must keep off its connection
        with suppress(RuntimeError):  # the connection is lost
            if _here.store.compare_set(occasion or line, "", str(rank())) != str(rank()).encode():
                return
    print(line, file=sys.stderr if first() else sys.__stderr__)


def is_loss(error):
    """Whether an exception tells that another process has gone."""
    return world() > 1 and isinstance(error, RuntimeError) and LOST.search(str(error)) is not None


def gather(value=None):
    """[the value of the first process, of the second, ...], in all of them, as soon as each has called this.

    They may be hours apart. An error, see `is_loss`, where another process ends before it comes here.
    """
    values = [value] * world()
    if world() > 1:
        from torch import distributed

        distributed.all_gather_object(values, value)
    return values


def by_first(function, *arguments):
    """Call the function in the first process alone; the others wait until it is done."""
    if first():
        function(*arguments)
    gather()


def held_by_first(context):
    """The context manager in the first process, in the others one that does nothing."""
    return context if first() else nullcontext()


def own(count):
    """The indices of this process's share of `count` items."""
    return range(rank(), count, world())


def merged(share):
    """The lists of all processes, each of its `own` items, as one list in the order of the items."""
    shares = gather(share)
    return [shares[index % world()][index // world()] for index in range(sum(map(len, shares)))]


def spread(function, clips):
    """[function(clip) for clip in clips], with a progress bar; each process does its share and gets the whole list."""
    return merged([function(clips[index]) for index in tqdm(own(len(clips)), unit="clip", disable=None)])
