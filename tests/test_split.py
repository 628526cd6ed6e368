"""The split of a data set: nobody, and no group, is on both sides."""

from collections import Counter

from data.datasets import DATASETS
from data.datasets.kth import OFFICIAL_SPLIT


def test_groups_are_on_one_side_in_all_classes_and_stay_there():
    """As UCF101 names them; a class that lacks some groups, and groups that come later, change nothing much."""
    clips = {f"v_{label}_g{group:02d}_c01_1": label for label in ("Jog", "Stroll") for group in range(1, 26)
             if (label, group) != ("Jog", 3)}
    subsets, problems = DATASETS["kth"].split(clips, {})
    assert problems == []
    group_of = {clip: clip.split("_")[2] for clip in clips}
    sides = {group: {subsets[clip] for clip in clips if group_of[clip] == group} for group in group_of.values()}
    assert len(sides) == 25 and all(len(side) == 1 for side in sides.values())
    assert sorted(Counter(map(min, sides.values())).values()) == [5, 5, 15]
    more, _ = DATASETS["kth"].split(clips | {"v_Jog_g26_c01_1": "Jog"}, {})
    assert sum(more[clip] != subsets[clip] for clip in clips) <= 4  # two groups at most, where the fifths end


def test_all_six_actions_of_kth_are_split_by_person():
    actions = ("boxing", "handclapping", "handwaving", "jogging", "running", "walking")
    clips = {f"person{person:02d}_{action}_d4_1": action for person in range(1, 26) for action in actions}
    subsets, problems = DATASETS["kth"].split(clips, {})
    assert problems == []
    assert Counter(subsets.values()) == {"training": 48, "validation": 48, "testing": 54}
    assert all(subsets[f"person{person:02d}_boxing_d4_1"] == subset
               for subset, persons in OFFICIAL_SPLIT.items() for person in persons)
