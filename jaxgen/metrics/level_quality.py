"""Generated levels against real ones: playability, and every metric in one table with its ceiling and its impostors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.levels import Play
from jaxgen.levels.games import Game
from jaxgen.metrics import levels as metrics
from jaxgen.metrics.nearest import memorisation_auc

Row = dict[str, Any]

MOST = 1_000  # levels that are played in one set: each takes a solver
BINS = 10
COUNTED = {"mario": ("length", "jumps"), "sokoban": ("length", "pushes"), "crafter": ("length", "digs")}
"""The facts of a game whose histograms are compared."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Real levels, played: what every set of levels is compared with. Levels are uint8 [N, H, W]."""

    game: Game
    train: np.ndarray
    heldout: np.ndarray
    counts: dict[str, np.ndarray]  # by fact, of the held-out levels that were solved
    distances: np.ndarray  # [M], of held-out levels to the nearest training level


def reference(train: np.ndarray, heldout: np.ndarray, game: Game, seed: int = 0) -> Reference:
    """At most `MOST` of the held-out levels, chosen by `seed`, are played."""
    chosen = _some(heldout, seed)
    counts = _counts([game.play(level) for level in chosen], game)
    return Reference(game, train, chosen, counts, metrics.nearest_hamming(chosen, train))


def compare(levels: np.ndarray, real: Reference, plays: Sequence[Play] | None = None) -> Row:
    """The metrics of uint8 `levels` [N, H, W]; `plays` where they have been played already.

    playable: the share that the solver finishes. <fact>_tv: total variation between the histograms of a fact over the
    levels that were solved, and the real ones. pattern_kl: tile-pattern KL divergence. distinct: share of distinct
    levels. hamming: mean share of tiles that differ from the nearest training level. memorisation_auc: with which that
    distance tells these levels from held-out ones.
    """
    plays = plays or [real.game.play(level) for level in levels]
    counts = _counts(plays, real.game)
    row: Row = {"n_fake": len(levels), "n_real": len(real.heldout)}
    row["playable"] = float(np.mean([play.solved for play in plays]))
    for fact, there in real.counts.items():
        edges = metrics.bin_edges(there, BINS)
        row[f"{fact}_tv"] = metrics.histogram_tv(counts[fact], there, edges) if len(counts[fact]) else 1.0
        row[fact] = float(counts[fact].mean()) if len(counts[fact]) else 0.0
    distances = metrics.nearest_hamming(levels, real.train)
    row["pattern_kl"] = metrics.tile_pattern_kl(levels, real.heldout)
    row["distinct"] = metrics.distinct_share(levels)
    row["hamming"] = float(distances.mean())
    row["memorisation_auc"] = memorisation_auc(distances, real.distances)
    return row


def memorisation_band(real: Reference, splits: int = 5, seed: int = 0) -> tuple[float, float]:
    """(lowest, highest) memorisation AUC of one half of the held-out levels against the other, over random `splits`."""
    rng, half = np.random.default_rng(seed), len(real.distances) // 2
    found = []
    for _ in range(splits):
        order = rng.permutation(len(real.distances))
        auc = memorisation_auc(real.distances[order[:half]], real.distances[order[half : 2 * half]])
        found += [auc, 1 - auc]  # either half may stand for the samples
    return min(found), max(found)


def impostors(train: np.ndarray, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Ways to cheat, each [n, H, W], made from the training levels alone.

    marginal: each tile by its place's frequencies. row_unigram: by its row's. column_markov: columns of real levels,
    chained. collapsed: ten training levels, repeated. memoriser: training levels as they are.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    return {
        "marginal": metrics.tile_marginal(train, n, seed),
        "row_unigram": metrics.row_unigram(train, n, seed),
        "column_markov": metrics.column_markov(train, n, seed),
        "collapsed": train[np.resize(order[:10], n)],
        "memoriser": train[np.resize(order, n)],
    }


def _some(levels: np.ndarray, seed: int) -> np.ndarray:
    return levels[np.sort(np.random.default_rng(seed).permutation(len(levels))[:MOST])]


def _counts(plays: Sequence[Play], game: Game) -> dict[str, np.ndarray]:
    solved = [play for play in plays if play.solved]
    return {fact: np.array([play.facts[fact] for play in solved]) for fact in COUNTED[game.name]}
