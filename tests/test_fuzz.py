"""A few seconds of the fuzzer. To run it for longer: python3 -m tests.benchmarks.fuzz --minutes 10."""

import sys

import pytest

from tests.benchmarks.fuzz import KINDS, fuzz


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_damaged_files_end_in_one_line(tmp_path):
    counts, failures = fuzz(tmp_path, seed=0, minutes=600, n_cases=8, share=0.0, report=lambda line: None)
    assert not failures, "\n".join(failures)
    assert counts.total() == 8
    assert {kind for kind, _ in counts} <= KINDS.keys()
