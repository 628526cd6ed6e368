"""The files of a clip and of a run. Only this package writes and reads saliency.npz, metrics.json and opts.json.

clip.py         the result of a clip: saliency.npz
clip_files.py   all files of a clip, pictures included
run.py          the files of a run: opts.json, metrics.json, metrics.csv
averages.py     means over clips with intervals, and tables of them as text
tables.py       what a run prints
trust.py        which method to trust, a table per question
findings.py     what a run found, in sentences
over_clips.py   what the clips of a run have in common
compare.py      two runs over the clips that both explain
"""
