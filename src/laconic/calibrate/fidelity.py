"""What a compressed network says of text that no pass has seen, beside the original: of tokens, or of sentences.

Of a language model, whose logits at a token depend on none that comes later, KL(original ‖ compressed) in nats a token,
and perplexity, exp of the mean of −log p of the tokens that follow. Of an encoder, whose outputs are a vector for each
token, cosines of sentences: their vectors, the means over their tokens, before and after; and Spearman's rank
correlation of the similarities of all pairs of sentences, which a search goes by.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.samples import named_outputs
from laconic.models.params import Params
from laconic.training.batches import Batch, counted, inputs_of


@final
@dataclass(frozen=True)
class OfTokens:
    """What a language model has come to.

    Args:
        kl: of the original from the compressed one, in nats a token.
        before: perplexity of the original.
        after: of the compressed network.
        tokens: that were looked at.
    """

    kl: float
    before: float
    after: float
    tokens: int

    def __str__(self) -> str:
        """Return the figures in words."""
        return (
            f"on {self.tokens:,} tokens held out: KL {self.kl:.4g} nats a token, perplexity {self.before:.4g} -> "
            f"{self.after:.4g}"
        )


@final
@dataclass(frozen=True)
class OfSentences:
    """What an encoder has come to.

    Args:
        cosine: of a sentence's vector before and after, in the mean.
        low: its 5th percentile.
        ranks: Spearman's correlation of the similarities of all pairs; NaN of fewer than three sentences.
        sentences: that were looked at.
    """

    cosine: float
    low: float
    ranks: float
    sentences: int

    def __str__(self) -> str:
        """Return the figures in words."""
        return (
            f"on {self.sentences:,} sentences held out: cosine {self.cosine:.4f} in the mean, {self.low:.4f} at the "
            f"5th percentile; rank correlation of similarities {self.ranks:.4f}"
        )


Fidelity = OfTokens | OfSentences


def fidelity(calibration: Calibration, before: Params, after: Params) -> Fidelity | None:
    """Return how near a compressed network is on samples that are held out; None where these are not tokens.

    Args:
        calibration: the module and its samples.
        before: the original, every parameter by its name.
        after: the compressed network.

    Raises:
        DataError, WeightsError: as `Calibration.outputs`.
    """
    batches = calibration.unseen or calibration.seen
    if any(_tokens(batch) is None for batch in batches):
        return None
    first, ids = named_outputs(calibration.whole_outputs(before, batches[0])), _tokens(batches[0])
    assert ids is not None, "looked at above"
    if first is None or first.ndim != 3 or first.shape[:2] != ids.shape:
        return None
    if _is_causal(calibration, before, batches[0]):
        return _of_tokens(calibration, before, after, batches)
    if calibration.kind_with(before) == "classification":  # of masked tokens, of which there are none
        return None
    return _of_sentences(calibration, before, after, batches)


def token_count(batches: tuple[Batch, ...]) -> int | None:
    """Return how many tokens batches have that count; None where these are not tokens."""
    each = [(_tokens(batch), counted(batch)) for batch in batches]
    if any(ids is None for ids, _ in each):
        return None
    return sum(int(kept.sum()) if kept is not None else ids.numel() for ids, kept in each if ids is not None)


def _tokens(batch: Batch) -> Tensor | None:
    """Return the token ids of a batch, shape (samples, length); None where it has none."""
    inputs = inputs_of(batch)
    ids = inputs.get("input_ids") if isinstance(inputs, Mapping) else inputs
    whole = isinstance(ids, Tensor) and ids.ndim == 2 and not ids.is_floating_point() and ids.shape[1] > 1
    return ids if whole else None


def _is_causal(calibration: Calibration, params: Params, batch: Batch) -> bool:
    """Return whether logits depend on no token that comes later: others last, those before stay as they are."""
    ids = _tokens(batch)
    if ids is None or calibration.kind_with(params) != "classification":
        return False
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % max(int(ids.max()) + 1, 2)
    changed = {**batch, "input_ids": other} if isinstance(batch, Mapping) else other
    one, two = (named_outputs(calibration.whole_outputs(params, given)) for given in (batch, changed))
    if one is None or two is None or one.ndim != 3 or one.shape[:2] != ids.shape:
        return False
    return torch.allclose(one[:, :-1], two[:, :-1], 1e-3, 1e-4)


def _of_tokens(calibration: Calibration, before: Params, after: Params, batches: tuple[Batch, ...]) -> OfTokens:
    """Return the figures of a language model."""
    kl, lost, rows, follow = 0.0, [0.0, 0.0], 0, 0
    for batch in batches:
        ids, kept = _tokens(batch), counted(batch)
        said = [named_outputs(calibration.whole_outputs(params, batch)) for params in (before, after)]
        assert ids is not None, "looked at before"
        for row, sequence in enumerate(ids):  # one at a time: double precision takes room, and small KLs need it
            there = torch.ones_like(sequence, dtype=torch.bool) if kept is None else kept[row]
            p, q = (one[row].double().log_softmax(-1) for one in said if one is not None)
            kl += float((p.exp() * (p - q)).sum(-1)[there].sum())
            later = there[1:] & there[:-1]
            for place, own in enumerate((p, q)):
                lost[place] -= float(own[:-1].gather(-1, sequence[1:, None].to(own.device))[later].sum())
            rows, follow = rows + int(there.sum()), follow + int(later.sum())
    original, compressed = (math.exp(min(one / max(follow, 1), 700.0)) for one in lost)
    return OfTokens(kl / max(rows, 1), original, compressed, rows)


def _of_sentences(calibration: Calibration, before: Params, after: Params, batches: tuple[Batch, ...]) -> OfSentences:
    """Return the figures of an encoder."""
    one, two = (
        torch.cat([pooled(named_outputs(calibration.whole_outputs(params, batch)), batch) for batch in batches]).cpu()
        for params in (before, after)
    )
    cosines = (one * two).sum(1).numpy()
    upper = np.triu_indices(len(one), 1)
    pairs = [(vectors @ vectors.T).numpy()[upper] for vectors in (one, two)]
    first, second = (_ranks(one) for one in pairs)
    ranks = float(np.corrcoef(first, second)[0, 1]) if len(one) > 2 else math.nan
    return OfSentences(float(cosines.mean()), float(np.percentile(cosines, 5)), ranks, len(one))


def pooled(outputs: Tensor | None, batch: Batch) -> Tensor:
    """Return the mean over the tokens of each sentence, of length 1, float64, shape (samples, width).

    Args:
        outputs: a vector for each token, shape (samples, length, width).
        batch: whose attention mask says which tokens count; all, where there is none.
    """
    assert outputs is not None, "looked at before"
    kept = counted(batch)
    weights = torch.ones(outputs.shape[:2]) if kept is None else kept
    weights = weights.to(outputs.device, torch.float64)[..., None]
    mean: Tensor = (outputs.double() * weights).sum(1) / weights.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=1)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value, equal ones the mean of theirs.

    >>> _ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [1.5, 0.0, 1.5]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - counts + ends - 1)[places] / 2)
