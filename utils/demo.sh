#!/usr/bin/env bash
# The whole way from nothing to saliency maps, on videos of drawn people: virtual environment, videos, clips, frames,
# annotation, training, classification of persons not trained on, saliency of frames (with TSR) and of features.
#   ./utils/demo.sh
# Needs Python 3.10 or later and a few minutes. All it makes is in demo/, kept and used again by the next run.
# Variables: DEMO_VENV, the place of the virtual environment (.venv), PYTHON, what it is made with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source utils/environment.sh
if (($#)); then
    [[ $* == --help ]] || fail "it takes no arguments, $* was given; see --help"
    print_header utils/demo.sh
    exit
fi
venv=${DEMO_VENV:-.venv}
use_environment requirements.txt

stage() { # stage NAME COMMAND...: what the command prints goes to demo/logs/NAME.txt
    local name=$1 begin=$SECONDS
    "${@:2}" >"demo/logs/$name.txt" || fail "$name failed; demo/logs/$name.txt has what it said, rm -r demo starts afresh"
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
if [[ ! -f demo/snapshot/metrics.json ]]; then # its last file
    stage training "$python" main.py "${data[@]}" --backbone mobilenet_v2 \
        --backbone_weights model/pretrained/kth_mobilenet_v2.pth --sample_size 96 --n_epochs 15 --lr_rate 1e-3 \
        --result_path demo/snapshot
fi
if [[ ! -f demo/results/inference/confusion.png ]]; then # its last file
    stage classification "$python" inference.py "${trained[@]}" --result_path demo/results/inference
fi
stage frame_saliency "$python" frame_saliency.py "${trained[@]}" "${clips[@]}" --tsr --tsr_patch 16 \
    --result_path demo/results/frame_saliency
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
print(f"\nHeld-out persons (2, 3 and 5): accuracy {metrics['accuracy']:.3f} on {count} clips")
print("\nWhere the maps point, AUC mean over frames (0.5: anywhere, 1: exactly there)")
print(f"{'map':20}{'optical flow':>14}{'person':>10}")
for name, row in maps.items():
    print(f"{name:20}{row['auc_flow_frame']['mean']:14.3f}{row['auc_mask_frame']['mean']:10.3f}")
print("random, centre and frame_difference know nothing of the model: a map has to beat them to mean something")
print(f"\nAll on one page: {results}/frame_saliency/report.html\nPictures, a folder per clip:\n  {results}/frame_saliency/<class>/<clip>/time.png frames.png overlay.mp4")
print(f"  {results}/feature_saliency/<class>/<clip>/features.png profile.png")
print(f"  {results}/frame_saliency/methods.png, {results}/inference/confusion.png, demo/snapshot/curves.png")
if metrics["accuracy"] < 0.95:
    sys.exit("utils/demo.sh: error: an accuracy below 0.95 is less than these videos allow; something is wrong")
SUMMARY
