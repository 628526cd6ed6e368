"""The commands of the documents, made small enough for a test, and why some of them are not run.

tests/test_commands_as_written.py runs every command of every page. A command that you add to a page is run as it is
written, in a folder like that of a user, which `furnish` in tests/journeys.py describes. If it takes long there, or
names what is not there, add one line to one of these tables:

    SMALLER     {part of a command: options}     appended to every command with this part; the last value of an option
                                                 counts, so they replace those of the document
    REPLACED    {text: other text}               replaced in every command, before SMALLER
    NOT_RUN     {part of a command: reason}      not run at all

An entry that no command needs is a failure too. The pages of one journey share a folder, and their commands run in the
order of the pages. A new page belongs to the journey "results" unless JOURNEYS names it.
"""

from itertools import groupby
from typing import NamedTuple

from tests.documents import commands_in

JOURNEYS = {  # name: its pages; those that no other journey names belong to the last one
    "usage": ("docs/usage.md",),
    "first look": ("README.md",),
    "results": (),
}
BEFORE = {  # journey: commands that make what its pages take for granted
    "results": (
        "python3 utils/trim_videos.py",
        "./utils/generate_data.sh --validation_persons 4 --testing_persons 9 15",
        "python3 main.py --head lstm --backbone squeezenet1_1 --backbone_weights none --sample_size 32 "
        "--sample_duration 8 --n_epochs 1 --result_path snapshots/run",
        "cp -r snapshots/run snapshots/kth_cnnlstm_resnet18",
    ),
}
CLEAR = "rm -rf results/inference results/frame_saliency results/feature_saliency"  # the default folders
AS_SCRIPTS = ("usage", "first look")  # each command a process of its own; the others share one, which starts faster
UCF, HMDB = (f"TRIMMED_PATH=data/{name}/trimmed IMAGE_PATH=data/{name}/image_data ANNOTATION_PATH=data/{name}.json "
             for name in ("ucf", "hmdb"))

REPLACED = {
    # placeholders
    "<model_path> --classes": "original.pth --classes",
    "<model_path>": "snapshots/kth_cnnlstm_resnet18/best.pth",
    "--backbone_weights PATH": "--backbone_weights model/pretrained/kth_mobilenet_v2.pth",
    "--videos OTHER_VIDEOS": "--videos data/raw_dataset/kth_six",
    "--videos VIDEOS": "--videos data/raw_dataset/kth_data",
    # data sets that would share the default folders of class folders
    "--raw_path UCF-101": "--raw_path UCF-101 --trimmed_path data/ucf/trimmed",
    "--raw_path hmdb51": "--raw_path hmdb51 --trimmed_path data/hmdb/trimmed",
    "./utils/generate_data.sh --split_files ucf": UCF + "./utils/generate_data.sh --split_files ucf",
    "./utils/generate_data.sh --split_files test": HMDB + "./utils/generate_data.sh --split_files test",
    # no GPU
    " --use_cuda --gpu 0": "",
    " --use_cuda": "",
    "torchrun --nproc_per_node=4": "torchrun --standalone --nproc_per_node=2",
    # commands that are the same when they are small, so that one of them is run
    " --burners 0 --rounds 1 --frames 4 --size 64 --time_limit 15": "",
    " --burners 0 2 --rounds 2 --frames 8 --time_limit 20": "",
    # options that follow others in such a way that none can be appended
    "--options --sanity": "--options --sanity --sanity_draws 1",
    "whole_run --before ../before": "whole_run",  # no earlier version is there
}
SMALLER = {
    "utils/synthesize_kth.py --persons": "--persons 11 --output data/raw_dataset/drawn",
    "utils/synthesize_kth.py --output": "--persons 30",
    "utils/synthesize_kth.py": "--scenarios 1 --passes 1",
    "python3 main.py --": "--n_epochs 1 --sample_size 32 --sample_duration 8",
    "python3 main.py --use_cuda": "--backbone squeezenet1_1 --backbone_weights none "
                                  "--result_path snapshots/kth_cnnlstm_resnet18",
    "main.py --backbone mobilenet_v2 --sample_size": "--backbone squeezenet1_1 --backbone_weights none",
    "main.py --head bilstm": "--backbone squeezenet1_1 --backbone_weights none",
    "4 main.py": "--n_epochs 1 --sample_size 32 --sample_duration 8 --backbone squeezenet1_1 --backbone_weights none",
    "frame_saliency.py": "--limit 1",
    "--tsr --sanity": "--tsr_step time --sanity_draws 1 --no_when",
    "--tsr --result_path": "--tsr_step time --no_when",
    "frame_saliency.py --video walk.avi --duration": "--no_when",
    "feature_saliency.py": "--limit 1",
    "saliency.py --video walk.avi --duration": "--resume_path snapshots/run/best.pth",
    "--limit 1 --when": "--resume_path snapshots/run/best.pth",
    "--limit 1 --segment": "--resume_path snapshots/run/best.pth",
    "--limit 1 --shapley": "--resume_path snapshots/run/best.pth",
    "frame_saliency.py --method occlusion_block": "--resume_path snapshots/run/best.pth",
    "tests.benchmarks.leave_one_out": "--persons 15 --drawn 1 --scenarios 1 --n_epochs 1 --sample_size 32 "
                                      "--backbone squeezenet1_1 --backbone_weights none",
    "PATH --saliency 1": "--compare gradient --workdir results/leave_one_out_one",
    "PATH --saliency 3": "--saliency 1 --compare gradient --workdir results/leave_one_out_maps",
    "tests.benchmarks.when ": "--clips 1 --drop -1 --methods freeze gradient",
    "tests.benchmarks.roar": "--videos data/raw_dataset/kth_data --backbone squeezenet1_1 --backbone_weights none "
                             "--sample_size 32 --epochs 1 --seeds 1 --shares 0.5 --methods gradient --workers 1",
    "--compare all": "--resume_path snapshots/run/best.pth --smoothgrad_samples 2 --path_points 2 --tsr_patch 16 "
                     "--robustness_draws 1 --no_when",
    "tests.benchmarks.when_speed": "--passes 1 --repeats 1",
    "tests.benchmarks.short_clips": "--frames 1 30 --model snapshots/run/best.pth",
    "tests.benchmarks.page": "--clips 2 --frames 4 --size 32 --repeats 1",
    "--target all": "--no_when",
    "tests.benchmarks.long_videos": "--lengths 100",
    "tests.benchmarks.class_pointing": "--methods freeze gradient_x_input",
    "tests.benchmarks.time_arrow": "--heads mean --seeds 0 --steps 1 --windows 1 --pairs 0",
    "tests.benchmarks.vanishing": "--seeds 1 --epochs 1 --training_size 100 --testing_size 20",
    "tests.benchmarks.tsr": "--frames 6 --sizes 32 --patch 16 --tolerances 1e-3 --passes 1 --repeats 1 --peak_size 256 "
                            "--points 2 --samples 2",
    "tests.benchmarks.stretch": "--size 32 --patch 16 --masked 1 --points 2 --frames 28 --ranks 4 --largest 1",
    "tests.benchmarks.feature_tsr": "--heads lstm --frames 3 --features 4 --sample 4 --passes 1",
    "tests.benchmarks.feature_agreement": "--clips 1 --pairs 2 --methods gradient lrp",
    "tests.benchmarks.rounding": "--frames 3 --size 32 --bits 10",
    "tests.benchmarks.busy": "--burners 0 --rounds 1 --frames 2 --size 32",
    "tests.benchmarks.whole_run": "--clips 1 --no_training --runs inference",
    "tests.benchmarks.kills": "--training 0 --preparation 1 --saliency 0 --whole 1",
    "tests.benchmarks.fuzz": "--minutes 0.05",
    "tests.test_memory": "--calls 2",
    "tests.benchmarks.left_right": "--videos 5 --least 0 --options --backbone squeezenet1_1 --backbone_weights none "
                                   "--sample_size 32 --n_epochs 1",
}
NOT_RUN = {
    "./utils/demo.sh": "makes a virtual environment and trains; tests/test_shell_scripts.py checks what it starts",
    "./utils/test.sh": "would run this test in itself; tests/test_shell_scripts.py checks what it starts",
    "utils/download_kth.py": "downloads 391 MB; tests/test_download_kth.py runs it with a server of its own",
    "tests.benchmarks.cuda": "needs a GPU; tests/test_cuda_benchmark.py runs it on the CPU",
    "--model my_models.py": "tests/test_docs.py runs it with the file that the page shows",
}


class Step(NamedTuple):
    """A command of a page, and the command that is run in its place."""

    page: str
    line: str
    changed: str


def made_small(line: str) -> str:
    """Return a command as it is run, changed by REPLACED and SMALLER."""
    changed = line
    for old, new in REPLACED.items():
        changed = changed.replace(old, new)
    changed, separator, rest = changed.partition(" --options ")  # what follows belongs to another script
    more = [options for part, options in SMALLER.items() if part in line]
    return " ".join([changed, *more]) + separator + rest


def plan(pages: dict[str, str]) -> dict[str, list[Step]]:
    """Return {journey: its steps in their order}. pages: {path of a document: its text}."""
    named = {page for some in JOURNEYS.values() for page in some}
    rest = tuple(page for page in pages if page not in named)
    return {journey: [Step(page, line, made_small(line)) for page in some or rest
                      for line in commands_in(pages[page]) if not any(part in line for part in NOT_RUN)]
            for journey, some in JOURNEYS.items()}


def lines_of(journey: str, steps: list[Step]) -> list[str]:
    """Return what is run for a journey: BEFORE, and each different command once. Each page begins without results."""
    lines = list(BEFORE.get(journey, ()))
    for _, own in groupby(steps, key=lambda step: step.page):
        lines += [CLEAR, *dict.fromkeys(step.changed for step in own if step.changed not in lines)]
    return lines
