"""Rows of tokens, as every metric on text takes them: checked, measured and cut into n-grams."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.text.vocabulary import END


def check_tokens(tokens: np.ndarray, name: str, least: int = 1) -> np.ndarray:
    """`tokens` [N, T] as int64. Raises `UserError` unless they are whole numbers from 0 and N >= `least`."""
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer) or not tokens.shape[1]:
        raise UserError(f"{name} is {tokens.dtype} {tokens.shape}; pass tokens as whole numbers [N, T].")
    if len(tokens) < least:
        raise UserError(f"{name} has {len(tokens)} texts; this metric needs at least {least}.")
    if tokens.min() < 0:
        raise UserError(f"{name} holds the token {tokens.min()}; tokens are whole numbers from 0.")
    return tokens.astype(np.int64)


def lengths(tokens: np.ndarray) -> np.ndarray:
    """int64 [N]: how many tokens of each row of [N, T] come before its first `END`."""
    ended = tokens == END
    return np.where(ended.any(1), ended.argmax(1), tokens.shape[1])


def counted(tokens: np.ndarray) -> int:
    """How many tokens the texts [N, T] have, their ends among them."""
    return int(np.minimum(lengths(tokens) + 1, tokens.shape[1]).sum())


def texts(tokens: np.ndarray) -> list[tuple[int, ...]]:
    """The rows of [N, T], each up to its first `END`."""
    return [tuple(row[:n]) for row, n in zip(tokens.tolist(), lengths(tokens).tolist(), strict=True)]


def ngrams(tokens: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every n-gram of rows [N, T], int64 [M, n], and the row each is of, int64 [M], in order."""
    if n > tokens.shape[1]:
        return np.empty((0, n), np.int64), np.empty(0, np.int64)
    every = np.lib.stride_tricks.sliding_window_view(tokens, n, axis=1)
    row, start = np.nonzero(np.arange(every.shape[1]) <= (lengths(tokens) - n)[:, None])
    return every[row, start], row
