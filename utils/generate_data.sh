#!/usr/bin/env bash
# Extract the frames of the trimmed clips, and write the annotation file with its split.
#   ./utils/generate_data.sh
#   ./utils/generate_data.sh --validation_persons 4 --testing_persons 1 9      # options of utils/annotate_kth.py
#   DATASET=folder ./utils/generate_data.sh      # class folders of any videos, in data/folder_trimmed
#   DATASET=folder ./utils/generate_data.sh --split_files trainlist01.txt testlist01.txt      # UCF101's official split
#   DRAWN_PATH=data/kth_drawn_trimmed ./utils/generate_data.sh      # clips of drawn people join the training subset
# Variables: TRIMMED_PATH, DRAWN_PATH, IMAGE_PATH and ANNOTATION_PATH are paths relative to the root of the project;
# PYTHON is the Python that runs the scripts (default python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
dataset=${DATASET:-kth}
trimmed=("${TRIMMED_PATH:-data/${dataset}_trimmed}" ${DRAWN_PATH:+"$DRAWN_PATH"})
images=${IMAGE_PATH:-data/$dataset/image_data}
annotation=${ANNOTATION_PATH:-data/$dataset/annotation/${dataset}1.json}

if [[ " $* " != *" --help "* ]]; then # with --help, only annotate_kth.py answers
    "$python" utils/extract_frames.py --trimmed_path "${trimmed[@]}" --image_path "$images"
fi
"$python" utils/annotate_kth.py --dataset "$dataset" --trimmed_path "${trimmed[@]}" --image_path "$images" \
    --annotation_path "$annotation" "$@"
