"""Two processes, started as torchrun starts them."""

import multiprocessing
import os
import sys

import pytest
from torch.distributed import TCPStore

PATIENCE = 600  # seconds
forks = pytest.mark.skipif(sys.platform != "linux", reason="forks")


def forked(log, function, *arguments):
    """Call a function in two processes as torchrun would start them. Return their exit codes and what they print."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def run(number):
        os.environ.update(TORCHELASTIC_RUN_ID="test", TORCHELASTIC_USE_AGENT_STORE="True", MASTER_ADDR="127.0.0.1",
                          MASTER_PORT=str(store.port), WORLD_SIZE="2", RANK=str(number), LOCAL_RANK=str(number))
        sys.stdout = sys.stderr = sys.__stderr__ = log.open("a", buffering=1)
        function(*arguments)

    context = multiprocessing.get_context("fork")
    both = [context.Process(target=run, args=(number,)) for number in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(PATIENCE)
        process.kill()
    return [process.exitcode for process in both], log.read_text()
