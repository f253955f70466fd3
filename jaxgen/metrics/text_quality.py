"""How much a set of texts repeats itself, and how much of the training set it repeats.

Of 2,000 samples each, against Texygen's 10,000 COCO captions for training and 2,000 others held out:

    samples                                distinct-2   copies   near_copies   memorisation_auc
    unseen captions                              .399     .001          .004                .47
    a chain of word pairs                        .397     .000          .045                .49
    training captions, a tenth of words new      .539     .320          .465                .99
    training captions                            .416    1.000         1.000               1.00
"""

import numpy as np
import scipy.sparse

from jaxgen.errors import UserError
from jaxgen.metrics.nearest import memorisation_auc
from jaxgen.metrics.tokens import check_tokens, lengths, ngrams, texts

_NEAR = 0.8  # of a text's tokens, in a row
_LEAST = 4  # tokens: any three may be a common phrase
_BLOCK = 2**23  # elements of one block of the distance matrix


def distinct(tokens: np.ndarray, n: int) -> float:
    """The share of different n-grams among all n-grams of `tokens`, int [N, T], each row up to its first 0.

    Distinct-n (Li et al. 2016). It falls with N and with the length of the texts: compare only sets of one size. 0
    where no text is as long as n. Raises `UserError` for other tokens, or where `n` is below 1.
    """
    if n < 1:
        raise UserError(f"distinct-n needs an n of at least 1, not {n}.")
    grams, _ = ngrams(check_tokens(tokens, "tokens"), n)
    return len(np.unique(grams, axis=0)) / max(1, len(grams))


def copies(samples: np.ndarray, train: np.ndarray) -> float:
    """The share of `samples`, int [N, T], that are texts of `train`, int [M, U], from end to end.

    Raises `UserError` for tokens that are no whole numbers from 0, or no text at all.
    """
    known = set(texts(check_tokens(train, "train")))
    return float(np.mean([text in known for text in texts(check_tokens(samples, "samples"))]))


def near_copies(samples: np.ndarray, train: np.ndarray) -> float:
    """The share of `samples` of which 80% of the tokens, in a row and 4 at least, stand so in one text of `train`, or
    that are copies. Arguments and errors as in `copies`."""
    samples, train = check_tokens(samples, "samples"), check_tokens(train, "train")
    length = lengths(samples)
    needed = np.maximum(np.ceil(_NEAR * length - 1e-9).astype(np.int64), _LEAST)
    known = set(texts(train))
    near = np.array([text in known for text in texts(samples)])
    for n in np.unique(needed[needed <= length]):
        rows = np.flatnonzero((needed == n) & ~near)
        runs = {gram.tobytes() for gram in ngrams(train, n)[0]}
        grams, row = ngrams(samples[rows], n)
        near[rows[row[[gram.tobytes() in runs for gram in grams]]]] = True
    return float(near.mean())


def nearest_text(queries: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `items`, int [M, U], is nearest to each of `queries`, int [N, T], and how far: int64 [N], float64 [N].

    The distance is 1 less the Jaccard index of the two sets of words and pairs of neighbouring words: 0 for a copy, 1
    where no word is shared. Raises `UserError` for tokens that are no whole numbers from 0, or no text at all.
    """
    queries, items = check_tokens(queries, "queries"), check_tokens(items, "items")
    a, b = _presence(queries, items)
    sizes = np.asarray(b.sum(1)).ravel()
    index, distance = np.empty(len(queries), np.int64), np.empty(len(queries))
    step = max(1, _BLOCK // len(items))
    for start in range(0, len(queries), step):
        block = a[start : start + step]
        shared = (block @ b.T).toarray()
        either = np.asarray(block.sum(1)).reshape(-1, 1) + sizes - shared
        similar = np.where(either, shared / np.maximum(either, 1), 1)  # two texts without a word are the same
        rows = slice(start, start + len(similar))
        index[rows] = similar.argmax(1)
        distance[rows] = 1 - similar.max(1)
    return index, distance


def memorisation(samples: np.ndarray, train: np.ndarray, heldout: np.ndarray) -> dict[str, float]:
    """How near samples come to single training texts, against how near unseen real texts come. All int [., T].

    memorisation_auc: `nearest.memorisation_auc` of the distances of `nearest_text`: 0.5 where samples lie no nearer
    than held-out texts, toward 1 where they do; train_distance, heldout_distance: the medians of either. Raises
    `UserError` as `nearest_text`.
    """
    ours, theirs = (nearest_text(x, train)[1] for x in (samples, heldout))
    return {
        "memorisation_auc": memorisation_auc(ours, theirs),
        "train_distance": float(np.median(ours)),
        "heldout_distance": float(np.median(theirs)),
    }


def _presence(*sets: np.ndarray) -> list[scipy.sparse.csr_array]:
    """For each of `sets`, [N, T]: float32 [N, G], 1 where a text holds the word or pair of words of that column."""
    base = max(int(tokens.max()) for tokens in sets) + 1
    found = []
    for tokens in sets:
        (words, word_row), (pairs, pair_row) = ngrams(tokens, 1), ngrams(tokens, 2)
        keys = np.concatenate([words[:, 0], base + pairs[:, 0] * base + pairs[:, 1]])
        found.append((keys, np.concatenate([word_row, pair_row]), len(tokens)))
    distinct_keys, column = np.unique(np.concatenate([keys for keys, _, _ in found]), return_inverse=True)
    matrices, start = [], 0
    for keys, row, count in found:
        columns = column[start : start + len(keys)]
        start += len(keys)
        cells = np.unique(np.stack([row, columns]), axis=1)
        ones = np.ones(cells.shape[1], np.float32)
        matrices.append(scipy.sparse.csr_array((ones, tuple(cells)), (count, len(distinct_keys))))
    return matrices
