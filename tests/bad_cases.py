"""Command lines with bad input, and a part of the complaint of each."""

from tests.runs import data_options, train_options
from tests.tiny_data import CLIP, places_in

ANY_SCRIPT = [  # options added to good ones, and a part of the complaint
    ("--annotation_path {bad}/nowhere.json", "no annotation at"),
    ("--annotation_path {bad}", "no annotation at"),
    ("--annotation_path {bad}/cut.json", "is not valid JSON"),
    ("--annotation_path {bad}/ghosts.json", "has frames under"),
    ("--video_path {bad}/nowhere", "no folder of extracted frames at"),
    ("--video_path {bad}/folder", "has frames under"),
    ("--n_classes 3", "--n_classes 3"),
    ("--sample_size -1", "not a whole number from 1"),
    ("--sample_size 99999999999", "not a whole number from 1"),
    ("--seed 1.5", "not a whole number from 0"),
    ("--result_path {bad}/empty", "choose another folder"),
    ("--no_such_flag", "--no_such_flag"),
]
TRAINING = [
    ("--annotation_path {bad}/untrained.json", "no clip in subset 'training' (it holds: training 0, validation 1"),
    ("--video_path {bad}/zero_bytes", "image_00002.jpg (0 bytes) is not a complete image"),
    ("--video_path {bad}/bomb", "claims too large a size"),
    ("--backbone resnet19", "unknown backbone 'resnet19'; known are: "),
    ("--backbone_weights {bad}/text.pth", "is not a checkpoint that torch can load safely"),
    ("--backbone_weights {good}/best.pth --backbone mobilenet_v2", "does not fit this backbone"),
    ("--sample_size 1", "cannot take frames of that size"),
    ("--sample_duration 1000000000", "more than the limit of 1024 MiB; give fewer or smaller frames"),
    ("--hidden_size 2000000000", "out of memory"),
    ("--lr_rate nan", "nan is not a number from 0"),
    ("--dropout 1.5", "1.5 is not a number from 0 to 1"),
    ("--model cnnlstm_cbam --backbone resnet18", "has its attention in the backbone, which is frozen; give --finetune"),
    ("--model cnnlstm_cbam --finetune", "choose --backbone resnet18"),
    ("--finetune --backbone resnet18 --batch_size 1 --sample_duration 1", "a batch could contain a single frame"),
    ("--pretrain_path {bad}/other.pth", "is not a checkpoint of this project"),
    ("--pretrain_path {good}/best.pth --hidden_size 8", "best.pth does not fit"),
]
TRAINED = [  # options of the three scripts that use a trained model
    ("--resume_path {bad}/nowhere.pth", "no checkpoint at"),
    ("--resume_path {bad}/text.pth", "is not a checkpoint that torch can load safely"),
    ("--resume_path {bad}/pickle.pth", "is not a checkpoint that torch can load safely"),
    ("--resume_path {bad}/shape.pth", "its weights do not fit the model that it describes"),
    ("--resume_path {bad}/kind.pth", "its model is 'cnnlstm2', which is not valid"),
    ("--resume_path {bad}/nan.pth", "contain values that are not finite"),
    ("--annotation_path {bad}/three.json", "has the classes running, walking, flying, but the checkpoint"),
    ("--annotation_path {bad}/untrained.json", "no clip in subset 'testing' (it holds: training 0, validation 1"),
    ("--model cnnlstm_attn", "--model cnnlstm_attn contradicts the checkpoint"),
    ("--classes walking running", "contradicts the checkpoint"),
    ("--norm_value 255", "the normalisation flags give mean and deviation [0.4501, "),
    ("--clips person99_walking_d1_1", "person99_walking_d1_1: not among the 4 clips of subset testing"),
    ("--video {bad}/nowhere.avi", "no video at"),
    ("--video {bad}/folder", "is a folder without videos"),
    ("--video {bad}/empty", "(0 bytes) holds no frame that FFmpeg can decode"),
    ("--video {bad}/text.avi", "holds no frame that FFmpeg can decode"),
    ("--video {bad}/cut.avi", "holds no frame that FFmpeg can decode"),
    ("--video {video} {bad}/walk.avi", "have the same name"),
    (f"--video {{video}} --clips {CLIP}", "leave one of them out"),
]
EXPLAINING = [
    ("--target flying", "--target flying: the model knows running, walking"),
    ("--target label --video {video}", "clips of --video have no label"),
    ("--tsr --tsr_quantile 2", "--tsr_quantile: 2 is not a number from 0 to 1"),
    ("--method smoothgrad --smoothgrad_samples 0", "--smoothgrad_samples: 0 is not a whole number from 1"),
    ("--tsr_quantile 0.3", "--tsr_quantile belongs to tsr, but nothing here uses it; add --tsr, or leave it out"),
    ("--method gradient --path_points 3", "belongs to integrated_gradients, but nothing here uses it; add --method"),
]
PIXELS = [
    ("--tsr_patch=16", "--tsr_patch belongs to tsr and deletion and robustness, but nothing here uses it; add --tsr"),
    ("--no_when --segment 2", "--segment belongs to interval and shapley_frame and when, but nothing"),
    ("--smooth 33", "--smooth 33.0 is more than the 32 pixels of a frame"),
    ("--method grad_cam --layer nowhere", "the model has no module 'nowhere'"),
]
UTILS = [
    ("trim_videos --raw_path {bad}/nowhere", "utils/download_kth.py"),
    ("trim_videos --raw_path {bad}/folder", "no videos in the class folders"),
    ("trim_videos --raw_path {bad}/videos", "none of the 3 videos could be trimmed"),
    ("trim_videos --raw_path {bad}/videos --sequences {bad}/nowhere.txt", "no file of ranges at"),
    ("trim_videos --raw_path {bad}/videos --sequences {bad}/empty", "holds no line like"),
    ("trim_videos --raw_path {bad}/videos --n_frames -3", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --size 0 10", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --start 0", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --workers -1", "not a whole number from 1"),
    ("trim_videos --raw_path {bad}/videos --trimmed_path {bad}/empty", "choose another folder"),
    ("extract_frames --trimmed_path {bad}/nowhere", "no clips in class folders"),
    ("extract_frames --trimmed_path {bad}/videos", "none of the 3 clips could be extracted"),
    ("annotate_kth --image_path {bad}/nowhere", "no clips in"),
    ("annotate_kth --image_path {images} --testing_persons 99", "there is no clip of person 99"),
    ("annotate_kth --image_path {images} --testing_persons 11 --validation_persons 11",
     "person 11 is named for validation and for testing"),
    ("synthesize_kth --persons 0", "KTH's names have room for persons 1 to 99"),
    ("synthesize_kth --output {bad}/empty --persons 11 --scenarios 1", "choose another folder"),
    ("synthesize_kth --output {bad}/videos --persons 11", "which this script did not make"),
    ("download_kth --url ftp://host/folder", "is not an address of the form"),
    ("download_kth --url http://127.0.0.1:9 --output {results}/new", "no connection to http://127.0.0.1:9/walking.zip"),
]
SCRIPTS = {
    "main": TRAINING,
    "inference": ANY_SCRIPT + TRAINED,
    "frame_saliency": EXPLAINING + PIXELS,
    "feature_saliency": [],
}
CASES = [(script, line, complaint) for script, cases in SCRIPTS.items() for line, complaint in cases]
CASES += [(f"utils.{line.split()[0]}", line.partition(" ")[2], complaint) for line, complaint in UTILS]


def options_of(script, good, results):
    """Return options with which a script succeeds; good: the folder of a run, inside its data set."""
    data = places_in(good.parent)
    if script == "main":
        return [*train_options(data, results), "--overwrite"]
    if script in SCRIPTS:
        return [*data_options(data), "--resume_path", good / "best.pth", "--result_path", results, "--overwrite"]
    places = {"trim_videos": ["--trimmed_path", results / "new"], "extract_frames": ["--image_path", results / "new"],
              "annotate_kth": ["--annotation_path", results / "kth1.json", "--trimmed_path", results],
              "synthesize_kth": ["--output", results / "new"], "download_kth": ["--output", results / "new"]}
    return places[script.removeprefix("utils.")]
