"""A clip whose frames are encoded once, and the scores of any sequence of these frames."""

from functools import cached_property

import torch
from torch import nn

from model.checks import check_clip, has_encoder
from model.contract import encodes_apart
from model.scores import class_logits
from runtime.errors import UserError
from saliency.fills import background
from saliency.gradient import encode_frames, untouched
from saliency.scores import target_score

BATCH = 256  # sequences that the head reads at a time
NEGLIGIBLE = 1e-6  # differences of scores below this share of the scores are rounding errors
HARDLY = {"logit": 0.04, "probability": 0.01}  # changes of a score up to these are hardly any, see EncodedClip.limit
MOST_GROUPS = 60  # groups of frames, unless the size of a group is given; the cost grows with the square of this


class EncodedClip:
    """The features of one normalised clip (T, C, H, W) and of its background, which T + 1 encodings give.

    target, score: the class and the kind of score that are explained. `features` (T, D), `empty` (D,): of the frames
    and of the background. `still`: whether every frame equals the background. `encodings` and `passes` count the
    frames that have gone through the encoder, besides the few on which the model's statement that they are independent
    is verified, and the sequences that have gone through the head. ValueError if the model does not encode each frame
    by itself.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, clip: torch.Tensor, target: int, score: str = "logit"):
        check_clip(clip)
        empty = background(clip)  # (C, H, W)
        self.model, self.target, self.score = model, target, score
        self.still = bool((clip == empty).all())
        with untouched(model):
            check_encoder(model, clip)
            self.features = encode_frames(model, clip)  # (T, D)
            self.empty = encode_frames(model, empty[None])[0]  # (D,)
        self.encodings, self.passes = len(clip) + 1, 0

    def __len__(self) -> int:
        return len(self.features)

    @torch.no_grad()
    def class_scores(self, sequences: torch.Tensor) -> torch.Tensor:
        """Return the scores of sequences of features as the model gives them: (N, L, D) -> (N, classes), float64."""
        self.passes += len(sequences)
        with untouched(self.model):
            return torch.cat([self.model.classify(part).double() for part in sequences.split(BATCH)])

    def class_scores_of(self, shown: torch.Tensor) -> torch.Tensor:
        """Return the class scores (N, classes) of sequences that are made of the clip's frames, in batches.

        shown (N, L): the frame that each step shows, from 0; T stands for the background.
        """
        if self.still and shown.shape[1] == len(self):  # all these sequences are the same one
            return self.clip_scores.expand(len(shown), -1)
        table = torch.cat([self.features, self.empty[None]])  # (T + 1, D)
        return torch.cat([self.class_scores(table[part]) for part in shown.split(BATCH)])

    def explained(self, class_scores: torch.Tensor) -> torch.Tensor:
        """Return the score that is explained, for each row of class scores: (N, classes) -> (N,)."""
        return target_score(class_scores, self.target, self.score)

    @property
    def steps(self) -> torch.Tensor:
        """The frames in their order, (T,)."""
        return torch.arange(len(self), device=self.features.device)

    @cached_property
    def clip_scores(self) -> torch.Tensor:
        """The class scores of the clip, (classes,)."""
        return self.class_scores(self.features[None])[0]

    @property
    def predicted(self) -> int:
        """The index of the most probable class of the clip."""
        return int(class_logits(self.clip_scores).argmax())

    @cached_property
    def empty_scores(self) -> torch.Tensor:
        """The class scores of the background in all frames, (classes,)."""
        return self.class_scores_of(torch.full((1, len(self)), len(self), device=self.features.device))[0]

    @property
    def score_of_clip(self) -> float:
        """The explained score of the clip, S(all)."""
        return float(self.explained(self.clip_scores[None]))

    @property
    def score_of_empty(self) -> float:
        """The explained score of the background in all frames, S(none)."""
        return float(self.explained(self.empty_scores[None]))

    @property
    def difference(self) -> float:
        """S(all) - S(none), what the frames change together."""
        return self.score_of_clip - self.score_of_empty

    @property
    def limit(self) -> float:
        """The change up to which the score hardly changes: 0.01 for a probability, 0.04 for a logit.

        A probability p changes by p (1 - p) <= 1/4 per unit of its logit, so 0.04 changes it by at most 0.01.
        """
        hardly = HARDLY["probability" if self.score == "probability" else "logit"]
        return max(hardly, NEGLIGIBLE * max(abs(self.score_of_clip), abs(self.score_of_empty)))

    def group_size(self, segment: int | None) -> int:
        """Return the number of frames in a group: `segment`, or if it is None the smallest that gives few groups."""
        if segment is not None and segment < 1:
            raise UserError(f"a segment of {segment} frames was given; it must have at least 1")
        return segment or -(-len(self) // MOST_GROUPS)


def check_encoder(model: nn.Module, clip: torch.Tensor) -> None:
    """Raise ValueError unless a model has an encoder that treats each frame of the clip (T, C, H, W) by itself."""
    name = type(model).__name__
    if not has_encoder(model):
        raise UserError(f"{name} has no encode and classify, so the frames that decide cannot be shown to its head "
                        "one by one; methods of pixels, such as freeze and occlusion_frame, explain it")
    if not encodes_apart(model, clip):
        raise UserError(f"in {name}, a frame's features change when another frame is encoded with it, so the frames "
                        "that decide cannot be shown to its head one by one; methods of pixels explain it")
