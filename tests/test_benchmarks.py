"""The benchmarks, which are run by hand, can be started."""

import importlib

import pytest

from tests.runs import ROOT

NAMES = [path.stem for path in sorted((ROOT / "tests" / "benchmarks").glob("[!_]*.py"))]


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_and_says_what_it_does(name):
    module = importlib.import_module(f"tests.benchmarks.{name}")
    assert module.__doc__
    if hasattr(module, "build_parser"):
        assert "usage" in module.build_parser().format_help()
