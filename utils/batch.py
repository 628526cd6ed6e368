"""What the scripts share that make files of many videos: the work, and the record of what was made with which options.

A record is {"options": {...}, "videos": {key: what is known of the video}}; the key of a video is class/file.
"""

from tqdm import tqdm

import opts
from data.video import VIDEO_SUFFIXES
from runtime.files import read_json, write_json
from runtime.isolated import n_cores, run_isolated


def add_work_options(parser, overwrite):
    """Options that `work_through` takes, and --overwrite with this help."""
    parser.add_argument("--workers", type=int, default=n_cores(), help="processes at once")
    parser.add_argument("--time_limit", type=opts.not_negative, default=300.0, help="seconds that one may take")
    parser.add_argument("--overwrite", action="store_true", help=overwrite)


def list_videos(folder):
    """The videos in the class folders of `folder`, as class/file, in order."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.glob("[!.]*/[!.]*"))
            if path.suffix.lower() in VIDEO_SUFFIXES]


def read_record(path, fields):
    """The record in the file `path`, None where there is none. ValueError where it is something else.

    fields: {name: type} of what is known of a video.
    """
    if not path.is_file():
        return None
    record = read_json(path)
    entries = record["videos"].values() if _has(record, options=dict, videos=dict) else [""]
    if not all(entry is None or _has(entry, **fields) for entry in entries):
        raise ValueError(f"{path} is not a record of this script; remove it with the videos beside it")
    return record


class Record:
    """What was made of which videos with which options, in a file beside them: `videos`, {key: entry}.

    With `overwrite` all videos beside it are removed. lists_all: whether they are those of the record. ValueError where
    the folder was filled by something else or with other options.
    """

    def __init__(self, path, options, fields, overwrite=False, lists_all=False):
        self.path, self.options = path, options
        before, folder = read_record(path, fields), path.parent
        made = {file.relative_to(folder).as_posix(): file for pattern in ("*/*.avi", "*/*.masks.npz", "00sequences.txt")
                for file in sorted(folder.glob(pattern))}
        for name in made:
            if not before or (lists_all and name.endswith(".avi") and name not in before["videos"]):
                raise ValueError(f"{folder} holds {name}, which this script did not make (it is not in {path.name}); "
                                 "give another folder")
        if overwrite:
            for file in made.values():
                file.unlink()
        before = {"options": options, "videos": {}} if overwrite or not before else before
        for name, value in options.items():
            if before["options"].get(name) != value:
                raise ValueError(f"{path}: made with {name} {before['options'].get(name)}, now it is {value}; give the "
                                 "same options, another folder, or --overwrite")
        self.videos = before["videos"]

    def update(self, entries):
        """Add what is known of some videos, {key: entry}, and write all, in the order of the keys."""
        self.videos |= entries
        write_json(self.path, {"options": self.options, "videos": dict(sorted(self.videos.items()))})


def _has(part, **types):
    return isinstance(part, dict) and all(isinstance(part.get(name), kind) for name, kind in types.items())


def work_through(keys, kept, function, args, noun, verb, record=None):
    """Call function(key), in a process of its own, for each of `keys` not in `kept`; the results go into the record.

    args: what `add_work_options` asks for. noun and verb: what was done, as "videos", "trimmed". What went wrong is
    warned of, and counts are printed by class. ValueError where it went wrong with all.
    """
    errors, todo = {}, [key for key in keys if key not in kept]
    results = run_isolated(function, todo, args.workers, args.time_limit)
    for key, result, error in tqdm(results, total=len(todo), desc=verb, disable=None):
        if error:
            errors[key] = error
        elif record:
            record.update({key: result})
    for key in sorted(errors):
        opts.warn(f"{key}: {errors[key]}")
    for name in sorted({key.split("/")[0] for key in keys}):
        count, old, bad = (sum(key.startswith(f"{name}/") for key in group) for group in (keys, kept, errors))
        print(f"{name}: {count - old - bad} {noun} {verb}, {old} kept from before, {bad} skipped")
    if len(errors) == len(keys):
        raise ValueError(f"none of the {len(keys)} {noun} could be {verb}; {key}: {errors[key]}")
