"""The one table of all metrics. The page, metrics.csv and docs/metrics.md take names and words from here.

    column("auc_flow_frame").words        # "AUC against moving pixels, mean over frames"
"""

from collections.abc import Iterator
from typing import NamedTuple

WHERE, WHEN, FAITHFUL, LOOK, DECISION, HEADS = (
    "where", "when", "faithful to the model", "what the map looks like", "when the model decided",
    "does it depend on the classifier")
RATE, SIGNED, FLAG, POSITIVE = "0 to 1", "-1 to 1", "0 or 1", "from 0"  # ranges


class Column(NamedTuple):
    """A metric: the question that it answers, its name in words, its unit and range, its source and chance level.

    chance: the value of an uninformed map; None where chance has no value.
    """

    name: str
    question: str
    words: str
    unit: str
    range: str
    source: str
    chance: float | None = None


def _agreement() -> Iterator[Column]:
    """Yield the columns that compare a map with the moving pixels or with the person."""
    kinds = (("auc", "AUC", RATE, "Hanley and McNeil 1982", 0.5), ("nss", "NSS", "any", "Peters et al. 2005", 0.0),
             ("mass_accuracy", "Mass accuracy", RATE, "Arras et al. 2022"),
             ("rank_accuracy", "Rank accuracy", RATE, "Arras et al. 2022"),
             ("cc", "Correlation", SIGNED, "Bylinskii et al. 2019", 0.0),
             ("sim", "Similarity", RATE, "Judd et al. 2012"))
    for reference, pixels, known in (("flow", "moving pixels", kinds), ("mask", "the person's pixels", kinds[:4])):
        for span, words in (("frame", "mean over frames"), ("clip", "whole clip")):
            for name, metric, *rest in known:
                yield Column(f"{name}_{reference}_{span}", WHERE, f"{metric} against {pixels}, {words}", "none", *rest)
            yield Column(f"{reference}_share_{span}", WHERE, f"Share of {pixels}, {words}", "share", RATE, "the clip")


def _deletion() -> Iterator[Column]:
    """Yield the columns of deletion and insertion."""
    deyoung = "DeYoung et al. 2020"
    points = (("comprehensiveness", "Comprehensiveness", deyoung), ("sufficiency", "Sufficiency, low is good", deyoung),
              ("log_odds", "Log-odds in nats, low is good", "Shrikumar et al. 2017"),
              ("aopc_comprehensiveness", "Comprehensiveness, mean over shares", deyoung),
              ("aopc_sufficiency", "Sufficiency, mean over shares, low is good", deyoung))
    for unit, units in (("frame", "frames"), ("patch", "patches")):
        for curve, verb in (("deletion", "deleted"), ("insertion", "inserted")):
            for name, words, *rest in (("auc", "Area under the curve", RATE, "Petsiuk et al. 2018"),
                                       ("gain", "Gain over random order", SIGNED, "Petsiuk et al. 2018", 0.0),
                                       ("gain_error", "Standard error of the gain", POSITIVE, "the random orders")):
                yield Column(f"{curve}_{unit}_{name}", FAITHFUL, f"{words}, {units} {verb}", "probability", *rest)
        for name, words, source in points:
            yield Column(f"{name}_{unit}", FAITHFUL, f"{words}, {units}", "probability", "any", source)


COLUMNS = {each.name: each for each in (
    *_agreement(),
    Column("frames_with_reference", WHERE, "Frames with motion", "frames", POSITIVE, "the clip"),
    Column("frames_constant", WHERE, "Frames where the map is constant", "frames", POSITIVE, "the map"),
    Column("map_is_zero", LOOK, "Share of clips where the map is 0 everywhere", "share", FLAG, "the map"),
    Column("sparseness", LOOK, "Gini index of the pixels", "none", RATE, "Hurley and Rickard 2009"),
    Column("time_sparseness", LOOK, "Gini index of the frames", "none", RATE, "Hurley and Rickard 2009"),
    Column("last_quarter_share", WHEN, "Share of saliency in the last quarter of the clip", "share", RATE, "the map",
           0.25),
    Column("peak_frame_moves", WHEN, "Share of clips where something moves in the frame with the most saliency",
           "share", FLAG, "optical flow"),
    Column("time_spearman_flow", WHEN, "Spearman correlation of frame totals with flow", "none", SIGNED,
           "Spearman 1904", 0.0),
    Column("time_auroc_visible", WHEN, "AUROC of frame totals for frames that show the person", "none", RATE,
           "Hanley and McNeil 1982", 0.5),
    Column("time_aup_visible", WHEN, "Area under precision for frames that show the person", "none", RATE,
           "Crabbé and van der Schaar 2021"),
    Column("time_aur_visible", WHEN, "Area under recall for frames that show the person", "none", RATE,
           "Crabbé and van der Schaar 2021"),
    *_deletion(),
    Column("infidelity", FAITHFUL, "Infidelity, low is good", "share", RATE, "Yeh et al. 2019", 1.0),
    Column("max_sensitivity", FAITHFUL, "Sensitivity to noise, low is good", "share", POSITIVE, "Yeh et al. 2019"),
    *(Column(name, DECISION, words, unit, values, "docs/when.md") for name, words, unit, values in (
        ("sufficient_frames", "Shortest interval that keeps 90 percent of the score", "frames", "from 1"),
        ("background_frames", "Shortest interval whose absence takes it or changes the class", "frames", "from 1"),
        ("freeze_frames", "Shortest interval whose standing still does", "frames", "from 1"),
        ("reverse_frames", "Shortest interval whose running backwards does", "frames", "from 1"),
        ("decided", "First frame from which on the class stays, with the background after it", "frame", "from 1"),
        ("decided_shorter", "First frame from which on the class stays, if the clip ends there", "frame", "from 1"),
        ("order_effect", "Order test: share of the score lost when the whole clip runs backwards", "share", "any"),
        ("order_flips", "Order test: the class changes when the whole clip runs backwards", "share", FLAG),
        ("order_part", "Order test: running backwards takes 90 percent or changes the class in a part", "share", FLAG),
        ("largest_error", "Largest standard error of a Shapley value, as a share of the score", "share", POSITIVE),
        ("gap", "Gap between the sum of the Shapley values and the score, as a share", "share", "any"),
        ("difference_from_background", "Difference of the score from that of the background", "score", POSITIVE))),
    *(Column(name, HEADS, words, "none", values, "Adebayo et al. 2018", chance) for name, words, values, chance in (
        ("trained", "AUC against moving pixels, trained model", RATE, 0.5),
        ("random_head", "AUC against moving pixels, random head", RATE, 0.5),
        ("difference", "Difference of the two", SIGNED, 0.0),
        ("correlation", "Rank correlation over the clip", SIGNED, 0.0),
        ("within_frames", "Rank correlation within frames", SIGNED, 0.0))),
)}


def column(name: str) -> Column:
    """Return the column of a metric. A metric that the table lacks, such as one of your own, has its name as words."""
    text = name.replace("_", " ")
    words = f"Rank correlation of Shapley values with {text.removeprefix('spearman ')}, per frame"
    other = Column(name, DECISION, words, "none", SIGNED, "Spearman 1904", 0.0) if name.startswith("spearman_") else \
        Column(name, "", text[:1].upper() + text[1:], "", "", "")
    return COLUMNS.get(name, other)
