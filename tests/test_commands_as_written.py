"""Every command of every document is run, in its order, as tests/commands.py says; the others have a reason there."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands import AS_SCRIPTS, JOURNEYS, NOT_RUN, REPLACED, SMALLER, lines_of, plan
from tests.documents import PAGES, commands_in
from tests.journeys import environment_with, furnish, run_alone, run_here, run_together

PLAN = plan(PAGES)
STEPS = [pytest.param(journey, step, id=f"{step.page}: {step.line[:80]}")
         for journey, steps in PLAN.items() for step in steps]
LEFT = {  # journey: files that its commands leave behind
    "usage": ("snapshots/kth_cnnlstm_resnet18/curves.png", "results/inference/confusion.png",
              "results/frame_saliency/*/*/saliency.npz", "results/feature_saliency/*/*/saliency.npz",
              "results/sanity/sanity.png", "snapshots/kth_with_drawn/best.pth", "results/four/report.html",
              "results/runs/compared/report.html"),
    "first look": ("results/frame_saliency/report.html", "results/feature_saliency/video/*/features.png"),
    "results": ("results/leave_one_out/seed0/person15/when.json", "results/order_test/order_test.png"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return {journey: its folder}."""
    root = tmp_path_factory.mktemp("journeys")
    furnish(root / "new")
    return {name: shutil.copytree(root / "new", root / name.replace(" ", "_")) for name in JOURNEYS}


@pytest.fixture(scope="module")
def ended(folders, tmp_path_factory):
    """Run everything, two journeys at a time. Return {journey: {command: its outcome}}."""
    environment = environment_with(tmp_path_factory.mktemp("commands"))

    def travel(journey):
        lines, folder = lines_of(journey, PLAN[journey]), folders[journey]
        if journey in AS_SCRIPTS:
            return {line: run_alone(line, folder, environment) for line in lines}
        return run_together(lines, folder, environment)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(JOURNEYS, pool.map(travel, JOURNEYS), strict=True))


@pytest.mark.parametrize(("journey", "step"), STEPS)
def test_command_runs(ended, journey, step):
    outcome = ended[journey][step.changed]
    assert outcome.status == 0, f"{step.changed}\n{outcome.output[-3000:]}"


@pytest.mark.parametrize("journey", JOURNEYS)
def test_what_a_journey_takes_for_granted_is_made(ended, journey):
    own = {step.changed for step in PLAN[journey]}
    assert [outcome.output for line, outcome in ended[journey].items() if outcome.status and line not in own] == []


@pytest.mark.parametrize("journey", JOURNEYS)
def test_commands_leave_results(ended, folders, journey):
    assert [name for name in LEFT[journey] if not list(folders[journey].glob(name))] == []


def test_every_command_is_run_or_has_a_reason():
    planned = {(step.page, step.line) for steps in PLAN.values() for step in steps}
    missing = [line for page, text in PAGES.items() for line in commands_in(text)
               if (page, line) not in planned and not any(part in line for part in NOT_RUN)]
    assert missing == []


def test_every_entry_of_the_tables_is_needed():
    lines = [line for text in PAGES.values() for line in commands_in(text)]
    for table in (REPLACED, SMALLER, NOT_RUN):
        assert [part for part in table if not any(part in line for line in lines)] == []
    assert set(PAGES) >= {page for pages in JOURNEYS.values() for page in pages}


@pytest.mark.parametrize(("line", "status", "said"), [
    ("python3 main.py --no_such_flag", 2, "--no_such_flag"),
    ("python3 -m tests.benchmarks.class_pointing --models nowhere", 2, "no models in nowhere"),
    ("python3 -m tests.benchmarks.no_such_module", 1, "no_such_module"),
])
def test_a_command_that_fails_is_seen(line, status, said, monkeypatch):
    monkeypatch.setattr("sys.argv", [])
    outcome = run_here(line)
    assert outcome.status == status and said in outcome.output
