#!/usr/bin/env bash
# Run all steps from an empty folder to saliency maps, on videos of drawn people: make the virtual environment, videos,
# clips, frames and annotation; train; classify held-out persons; explain frames (with TSR) and features.
#   ./utils/demo.sh
# This needs Python 3.10 or later and takes a few minutes. All results are in demo/, and the next run uses them again.
# Variables: DEMO_VENV is the path of the virtual environment (default .venv), PYTHON the Python that makes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source utils/environment.sh
if (($#)); then
    [[ $* == --help ]] || fail "$* was given, but this script takes no arguments; see --help"
    print_header utils/demo.sh
    exit
fi
venv=${DEMO_VENV:-.venv}
use_environment requirements.txt

stage() { # stage NAME COMMAND...: run the command, write its output to demo/logs/NAME.txt and print its time
    local name=$1 begin=$SECONDS
    "${@:2}" >"demo/logs/$name.txt" || fail "$name failed; see demo/logs/$name.txt, or start again after rm -r demo"
    echo "$name: $((SECONDS - begin)) s"
}

mkdir -p demo/logs
export PYTHON=$python TRIMMED_PATH=demo/trimmed IMAGE_PATH=demo/image_data ANNOTATION_PATH=demo/annotation/kth1.json
data=(--annotation_path "$ANNOTATION_PATH" --video_path "$IMAGE_PATH")
trained=("${data[@]}" --resume_path demo/snapshot/best.pth)
clips=(--clips person02_walking_d1_1 person02_running_d1_1 person05_walking_d4_1 person05_running_d4_1)

stage videos "$python" utils/synthesize_kth.py --output demo/raw --persons 11 12 13 14 19 20 2 3 5 --passes 2
stage clips "$python" utils/trim_videos.py --raw_path demo/raw --trimmed_path "$TRIMMED_PATH"
stage frames_and_annotation ./utils/generate_data.sh
if [[ ! -f demo/snapshot/metrics.json ]]; then # the last file that main.py writes
    stage training "$python" main.py "${data[@]}" --backbone mobilenet_v2 \
        --backbone_weights model/pretrained/kth_mobilenet_v2.pth --sample_size 96 --n_epochs 100 --batch_size 32 \
        --lr_rate 1e-3 --result_path demo/snapshot
fi
if [[ ! -f demo/results/inference/confusion.png ]]; then # the last file that inference.py writes
    stage classification "$python" inference.py "${trained[@]}" --result_path demo/results/inference
fi
stage frame_saliency "$python" frame_saliency.py "${trained[@]}" "${clips[@]}" --method freeze --tsr \
    --tsr_patch 16 --result_path demo/results/frame_saliency
stage feature_saliency "$python" feature_saliency.py "${trained[@]}" "${clips[@]}" --tsr \
    --result_path demo/results/feature_saliency
echo "total: $SECONDS s"

"$python" - <<'SUMMARY'
import json
import sys
from pathlib import Path

results = Path("demo/results")
metrics = json.loads((results / "inference/metrics.json").read_text())
count = sum(metrics["counts"].values())
maps = json.loads((results / "frame_saliency/metrics.json").read_text())["summary"]
recalls = ", ".join(f"{name} {recall:.3f}" for name, recall in metrics["per_class"].items())
print(f"\nHeld-out persons (2, 3 and 5): balanced accuracy {metrics['balanced_accuracy']:.3f} on {count} clips")
print(f"recall: {recalls}; the largest class has a share of {metrics['majority_share']:.3f}")
empty = json.loads(Path("demo/snapshot/metrics.json").read_text())["testing"]["empty"]
print(f"clips of these persons' videos without anybody: probability of walking {empty['walking']:.2f}")
print("\nAgreement of the maps with the motion and the person: AUC, mean over frames (0.5: chance, 1: perfect)")
print(f"{'map':20}{'optical flow':>14}{'person':>10}")
for name, row in maps.items():
    values = [row.get(metric, {}).get("mean") for metric in ("auc_flow_frame", "auc_mask_frame")]
    flow, person = ("n/a" if value is None else f"{value:.3f}" for value in values)
    print(f"{name:20}{flow:>14}{person:>10}")
print("freeze says when, not where: its map is constant within a frame")
print("random, centre and frame_difference (also over patches) do not use the model")
print("a map is evidence about it only if its AUC is higher")
print(f"\nAll results on one page: {results}/frame_saliency/report.html")
print(f"Pictures, a folder per clip:\n  {results}/frame_saliency/<class>/<clip>/time.png frames.png overlay.mp4")
print(f"  {results}/feature_saliency/<class>/<clip>/features.png")
print(f"  {results}/frame_saliency/methods.png, {results}/inference/confusion.png, demo/snapshot/curves.png")
if metrics["balanced_accuracy"] < 0.95:
    sys.exit("utils/demo.sh: error: the balanced accuracy is below 0.95, the least to expect here; run ./utils/test.sh")
SUMMARY
print_activation
