"""BLEU of many sentences against many references, and of sentences against each other.

The definition is that of nltk's `sentence_bleu` (Papineni et al. 2002) with `SmoothingFunction().method1` (Chen and
Cherry 2014), weights 1/n and all references given for every sentence, as Texygen has it (Zhu et al. 2018): high BLEU
against held-out text stands for quality, high self-BLEU for little diversity. Neither means much without the other.

2,000 of Texygen's COCO captions for training, against its 10,000 for testing, beside what its paper gives for MLE:

                       BLEU-2    -3    -4    -5    self-BLEU-2    -3    -4    -5
    training captions    .738  .517  .337  .217           .802  .603  .413  .276
    Texygen's MLE        .731  .497  .305  .189           .916  .769  .583  .408

Unknown words of one number match each other: with a vocabulary of 2,000 words the captions' BLEU-2 is .772. To score
what is written, encode references and samples with a vocabulary that holds every word of the references.
"""

from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.tokens import check_tokens, lengths

ORDERS = (2, 3, 4, 5)
"""What n is in BLEU-n in papers on generated text."""

_EPSILON = 0.1  # method1: so many matches in the place of none


@dataclass(frozen=True)
class _Table:
    """The n-grams of one length in the references; G of them."""

    keys: np.ndarray  # int64 [G], ascending: number of the first n - 1 tokens' n-gram x base + last token
    most: np.ndarray  # int64 [G]: the largest count in any reference
    second: np.ndarray  # int64 [G]: the largest count in any reference but `owner`
    owner: np.ndarray  # int64 [G]: a reference with `most`


class References:
    """The references of BLEU, counted once: `score` takes any number of sets of sentences."""

    def __init__(self, tokens: np.ndarray, n: int = max(ORDERS)) -> None:
        """`tokens`: int [M, T], each row up to its first 0. `n`: the largest that will be asked for.

        Raises `UserError` for other tokens, or where `n` is below 1.
        """
        if n < 1:
            raise UserError(f"BLEU-n needs an n of at least 1, not {n}.")
        self._tokens = check_tokens(tokens, "references")
        self._base = int(self._tokens.max()) + 1
        self._tables: list[_Table] = []
        numbers = np.zeros_like(self._tokens)
        for i in range(n):
            keys = self._keys(numbers, self._tokens, i)
            self._tables.append(_table(keys))
            numbers = _find(self._tables[-1].keys, keys)

    def score(self, samples: np.ndarray, n: int) -> np.ndarray:
        """float64 [N]: BLEU-n of each row of `samples`, int [N, T], up to its first 0. Raises `UserError`."""
        return self._score(check_tokens(samples, "samples"), n, others=False)

    def leave_one_out(self, n: int) -> np.ndarray:
        """float64 [M]: BLEU-n of each reference against all the others. Raises `UserError` where there are none."""
        return self._score(check_tokens(self._tokens, "samples", least=2), n, others=True)

    def _score(self, samples: np.ndarray, n: int, others: bool) -> np.ndarray:
        if not 1 <= n <= len(self._tables):
            raise UserError(f"These references were counted for BLEU-1 to BLEU-{len(self._tables)}, not BLEU-{n}.")
        length, numbers, matches, logs = lengths(samples), np.zeros_like(samples), [], np.zeros(len(samples))
        for i, table in enumerate(self._tables[:n]):
            numbers = _find(table.keys, self._keys(numbers, samples, i))
            matches.append(_matches(numbers, table, others))
            logs += np.log(np.where(matches[i], matches[i], _EPSILON) / np.maximum(length - i, 1))
        penalty = _brevity(length, lengths(self._tokens), others)
        return np.where(matches[0], penalty * np.exp(logs / n), 0.0)

    def _keys(self, numbers: np.ndarray, tokens: np.ndarray, i: int) -> np.ndarray:
        """int64 [N, T - i]: a key for every (i + 1)-gram of `tokens`; -1 beyond the end of a text, and for what no
        reference can hold. `numbers`: the places in the table before of the i-grams that start where it does."""
        last = tokens[:, i:]
        before = numbers[:, : last.shape[1]]
        inside = np.arange(i, tokens.shape[1]) < lengths(tokens)[:, None]
        return np.where(inside & (before >= 0) & (last < self._base), before * self._base + last, -1)


def bleu(samples: np.ndarray, references: np.ndarray | References, n: int) -> float:
    """The mean BLEU-n of `samples`, int [N, T], against `references`, int [M, U] or as `References`: 0 to 1.

    Rows end at their first 0. Raises `UserError` for tokens that are no whole numbers from 0, or no text at all.
    """
    counted = references if isinstance(references, References) else References(references, n)
    return float(counted.score(samples, n).mean())


def self_bleu(samples: np.ndarray, n: int) -> float:
    """The mean BLEU-n of each of `samples`, int [N, T], against the N - 1 others; 1 where all are the same.

    It grows with N: compare only sets of one size. Raises `UserError` as `bleu`, or for fewer than two samples.
    """
    return float(References(samples, n).leave_one_out(n).mean())


def _table(keys: np.ndarray) -> _Table:
    """Of the keys of all references, [M, S]; -1 stands for none."""
    row, start = np.nonzero(keys >= 0)
    distinct, number = np.unique(keys[row, start], return_inverse=True)
    pairs, counts = np.unique(number * len(keys) + row, return_counts=True)
    number, owner = np.divmod(pairs, len(keys))
    order = np.lexsort((-counts, number))
    first = np.searchsorted(number, np.arange(len(distinct)))  # `number` is ascending before and after ordering
    counts, owner = np.append(counts[order], 0), owner[order]
    several = np.diff(np.append(first, len(number))) > 1
    return _Table(distinct, counts[first], np.where(several, counts[first + 1], 0), owner[first])


def _find(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where in `keys` [G], ascending, each of `wanted` is; -1 for none."""
    if not len(keys):
        return np.full(wanted.shape, -1)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)


def _matches(numbers: np.ndarray, table: _Table, others: bool) -> np.ndarray:
    """int64 [N]: how many n-grams of each row match, each no more often than in the one reference that has it most
    (but for the row itself, if `others`). `numbers` [N, S]: their places in the table, -1 for none."""
    row, start = np.nonzero(numbers >= 0)
    pairs, counts = np.unique(row * max(len(table.keys), 1) + numbers[row, start], return_counts=True)
    row, number = np.divmod(pairs, max(len(table.keys), 1))
    allowed = table.most[number]
    if others:
        allowed = np.where(table.owner[number] == row, table.second[number], allowed)
    return np.bincount(row, np.minimum(counts, allowed), len(numbers)).astype(np.int64)


def _brevity(length: np.ndarray, references: np.ndarray, others: bool) -> np.ndarray:
    """float64 [N]: the penalty for texts shorter than the reference nearest in length; of two, the shorter."""
    known, counts = np.unique(references, return_counts=True)
    away = np.abs(length[:, None] - known).astype(np.float64)
    if others:
        away[(counts == 1) & (length[:, None] == known)] = np.inf  # no other text is so long
    nearest = known[away.argmin(1)]
    return np.exp(np.minimum(0, 1 - nearest / np.maximum(length, 1)))
