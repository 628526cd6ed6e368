"""The documents: their commands, flags, links and examples are valid, and the worked examples can be added as shown."""

import argparse
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple

import pytest
import torch

from tests.documents import COMMENT, FENCE, PAGES, blocks_in, commands_in, is_command, spans_in, words_of
from tests.runs import ROOT, run_command, use
from tests.tiny_data import CLIP

SCRIPTS = ("main", "inference", "frame_saliency", "feature_saliency", "utils.download_kth", "utils.synthesize_kth",
           "utils.trim_videos", "utils.extract_frames", "utils.annotate_kth", "utils.compare_runs", "utils.export_clip")
SOURCES = (".py", ".html", ".css", ".js")


COMMANDS = [pytest.param(line, id=f"{name}: {line[:60]}") for name, text in PAGES.items() for line in commands_in(text)]


def parser_of(module, monkeypatch):
    """Return the parser of a module's command line, or None if it takes no options."""
    module = importlib.import_module(module)
    if hasattr(module, "build_parser"):
        return module.build_parser()
    caught = []

    def catch(parser, *arguments, **keywords):
        caught.append(parser)
        raise SystemExit

    with monkeypatch.context() as patch, suppress(SystemExit):
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        if hasattr(module, "main"):
            module.main()
    return caught[0] if caught else None


def check_options(module, options, monkeypatch):
    """Parse the options of a command; argparse raises SystemExit with status 2 if the module does not know one."""
    parser = parser_of(module, monkeypatch)
    if parser is None:
        assert not options, f"{module} takes no options"
        return
    args = parser.parse_args(options)
    if module == "tests.benchmarks.leave_one_out":  # it passes these on
        check_options("frame_saliency", args.options, monkeypatch)


def check_shell(script, arguments, monkeypatch):
    """Check a command of a shell script."""
    assert (ROOT / script).is_file()
    if script.endswith("generate_data.sh"):
        check_options("utils.annotate_kth", arguments, monkeypatch)
    elif script.endswith("test.sh"):
        assert all((ROOT / argument).exists() for argument in arguments if not argument.startswith("-"))
    else:
        assert not arguments


@pytest.mark.parametrize("line", COMMANDS)
def test_command_is_one_that_the_scripts_know(line, monkeypatch, capsys):
    words = words_of(line)
    if words[0] == "torchrun":
        words = ["python3", *words[next(i for i, word in enumerate(words) if word.endswith(".py")):]]
    if words[0].startswith("./utils/"):
        check_shell(words[0], words[1:], monkeypatch)
        return
    assert words[0] == "python3"
    module, options = (words[2], words[3:]) if words[1] == "-m" else (words[1].removesuffix(".py"), words[2:])
    module = module.replace("/", ".")
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), f"no module {module}"
    try:
        check_options(module, options, monkeypatch)
    except SystemExit as ended:
        assert not ended.code, capsys.readouterr().err


@pytest.mark.parametrize("name", PAGES)
def test_flags_within_sentences_exist(name, monkeypatch):
    known = {script: parser_of(script, monkeypatch)._option_string_actions.keys() for script in SCRIPTS}
    everywhere = set().union(*known.values())
    for span in spans_in(PAGES[name]):
        script = span.split()[0].removesuffix(".py").replace("/", ".")
        unknown = set(re.findall(r"(?<!\S)--\w+", span)) - set(known.get(script, everywhere))
        assert not unknown or is_command(span), span


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", COMMENT.sub("", PAGES[name]))):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), link
        if anchor:
            assert anchor in anchors_in(path.read_text(encoding="utf-8")), link


def anchors_in(text):
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_examples_of_the_usage_run(data_set, trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "snapshots" / "kth_cnnlstm_resnet18")
    shutil.copy(data_set.video, tmp_path / "walk.avi")
    use("frame_saliency", data_set, trained, tmp_path / "results" / "frame_saliency", "--clips", CLIP, "--no_overlay")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks_in(PAGES["docs/usage.md"], "python"):
        exec(compile(code, "docs/usage.md", "exec"), names)
    assert names["result"].maps["gradient"].shape == names["result"].frames.shape
    assert names["page"].is_file() and len(list(tmp_path.glob("results/from_python/video/*/saliency.npz"))) == 2


def test_examples_of_own_models_run(data_set, tmp_path, monkeypatch):
    """The adapters in Python, and the commands on the file that the page shows, with smaller frames."""
    shutil.copy(data_set.video, tmp_path / "walk.avi")
    monkeypatch.chdir(tmp_path)
    *examples, file = blocks_in(PAGES["docs/models.md"], "python")
    names = {}
    for code in examples:
        assert len(code.splitlines()) < 30
        if "from transformers" in code and importlib.util.find_spec("transformers") is None:
            continue
        exec(compile(code, "docs/models.md", "exec"), names)
    assert list(names["found"].maps) == ["gradient", "occlusion_frame"] and names["found"].maps["gradient"].any()
    assert names["at_step_5"].maps["gradient"].any((1, 2)).tolist() == [True] * 5 + [False] * 3
    assert names["at_half_rate"].maps["gradient"].any((1, 2)).tolist() == [True, False] * 4
    probability = names["one_score"](names["clip"][None]).sigmoid().item()
    assert names["running"].item() == pytest.approx(probability) == 1 - names["walking"].item()
    assert names["of_running"].maps["gradient"].max() > 0
    (tmp_path / "my_models.py").write_text(file)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save(importlib.import_module("my_models").build(2).state_dict(), "my_weights.pth")
    commands = [line for line in commands_in(PAGES["docs/models.md"]) if "--model my_models.py" in line]
    for line in commands:
        words = line.replace("--sample_size 112 --sample_duration 16", "--sample_size 32 --sample_duration 6").split()
        run_command(words[1].removesuffix(".py"), *words[2:])
    assert len(commands) == 4 and len(list(tmp_path.glob("results/*/video/*/saliency.npz"))) == 3


def test_examples_about_features_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for code in blocks_in(PAGES["docs/methods.md"], "python"):
        exec(compile(code, "docs/methods.md", "exec"), {})
    assert capsys.readouterr().out == "torch.Size([30]) torch.Size([30, 300])\n"


def test_examples_about_when_run(data_set, trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "snapshots" / "kth_cnnlstm_resnet18")
    shutil.copytree(data_set.images, tmp_path / "data" / "kth" / "image_data")
    (tmp_path / "data" / "kth" / "annotation").mkdir()
    shutil.copy(data_set.annotation, tmp_path / "data" / "kth" / "annotation" / "kth1.json")
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks_in(PAGES["docs/when.md"], "python"):
        exec(compile(code, "docs/when.md", "exec"), names)
    length = len(names["seen"].tensor)
    assert names["decision"].shapley.values.shape == (length,)
    assert names["after_each_frame"].shape == (length, 2) and names["of_features"].values.shape == (300,)
    assert len(names["thirds"].values) == -(-length // 10)


CHECKS = {  # title: code that passes in a copy of the project with the example
    "How to add an attribution method": """
import torch

from frame_saliency import build_parser
from saliency.fills import background
from saliency.methods import METHODS, attribute
from tests.toys import Linear

model, clip = Linear(), torch.randn(3, 3, 5, 5, dtype=torch.float64)
found = attribute(METHODS["taylor"], model, clip, target=1)
drop = model(torch.stack([clip, background(clip).expand_as(clip)]))[:, 1]
assert torch.allclose(found.evidence.sum(), drop[0] - drop[1])  # exact on a linear model
assert build_parser().parse_args(["--method", "taylor", "--signed"]).method == "taylor"
""",
    "How to add a head": """
import torch

from main import build_parser
from model.cnn_lstm import CNNLSTM
from model.contract import check_parts, frames_are_independent
from saliency.tsr import temporal_saliency_rescaling

torch.manual_seed(0)
model = CNNLSTM(2, "squeezenet1_1", head="motion", hidden_size=8, feature_size=6).eval()
clips = torch.randn(2, 4, 3, 32, 32)
check_parts(model)  # every parameter is listed once, so sanity checks randomise the new head too
assert frames_are_independent(model, clips[0])  # so TSR is fast
assert temporal_saliency_rescaling(model, clips[0], target=1, patch=16).tsr.shape == (4, 32, 32)
features, lengths = model.encode(clips), torch.tensor([4, 3])
longer = features.clone()
longer[1, 3] = 7.0  # beyond the length of the second clip
assert torch.allclose(model.classify(features, lengths), model.classify(longer, lengths))
assert build_parser().parse_args(["--head", "motion"]).head == "motion"
""",
}


class Example(NamedTuple):
    """A worked example: a new file, and a line for a registry."""

    title: str
    code: str
    registry: str


def worked_examples():
    """Return the examples with code in the sections "How to add a ..." of docs/architecture.md."""
    parts = re.split(r"^### (How to add .*)$", PAGES["docs/architecture.md"], flags=re.MULTILINE)[1:]
    return [Example(title, *blocks_in(section, "python"))
            for title, section in zip(parts[::2], parts[1::2], strict=True) if title in CHECKS]


def add(example, root):
    """Add an example to a copy of the project: one new file, and one line in a registry, with the import it needs."""
    path = root / example.code.splitlines()[0].removeprefix("# ")
    assert path.parent.is_dir() and not path.exists()
    path.write_text(example.code, encoding="utf-8")
    place, *imports, entry = example.registry.splitlines()
    file, registry = re.fullmatch(r"# (\S+), in (\w+)", place).groups()
    lines = (root / file).read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if re.match(rf"{registry}\b.*= {{$", line)]
    assert len(starts) == 1, f"{file} has no registry {registry} with an entry per line"
    lines.insert(starts[0] + 1, entry)
    first = next(number for number, line in enumerate(lines) if line.startswith(("import ", "from ")))
    lines[first:first] = imports
    (root / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project's code."""
    root = tmp_path_factory.mktemp("project")
    rooms = [path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file() or path.name == "data"]
    sources = [*ROOT.glob("*.py")]
    for room in rooms:
        sources += [path for pattern in ("*", "*/*") for path in (ROOT / room).glob(pattern) if path.suffix in SOURCES]
    for source in sources:
        copy = root / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    return root


@pytest.mark.parametrize("example", worked_examples(), ids=lambda example: example.title)
def test_worked_example_can_be_added(example, project):
    add(example, project)
    command = [sys.executable, "-c", CHECKS[example.title]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
