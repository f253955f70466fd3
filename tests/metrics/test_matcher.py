import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.matcher import Matcher, fit, matcher, shuffled
from jaxgen.text.vocabulary import Vocabulary

pytestmark = pytest.mark.usefixtures("compiled_quickly")

TOPICS = (("boat", "wave", "sand", "gull"), ("judge", "court", "law", "jury"), ("bread", "milk", "salt", "soup"))


def by_topic(rng, count):
    """Pairs that fit by what they are about; the words at the junction say nothing."""
    pairs = []
    for _ in range(count):
        words = rng.choice(TOPICS[rng.integers(3)], 4)
        pairs.append((f"{words[0]} and {words[1]} or so", f"then {words[2]} {words[3]}"))
    return pairs


def by_junction(rng, count):
    """Pairs that fit at their junction alone."""
    ends = rng.integers(0, 4, count)
    said = rng.choice(np.concatenate(TOPICS), (count, 2))
    return [(f"{a} is {'wxyz'[end]}", f"{'stuv'[end]} has {b}") for end, (a, b) in zip(ends, said, strict=True)]


@pytest.fixture(scope="module")
def trained():
    return matcher(by_topic(np.random.default_rng(0), 600))


def test_tells_real_pairs_from_shuffled_ones(trained):
    unseen = by_topic(np.random.default_rng(1), 300)
    others = shuffled(unseen)
    auc = trained.auc(unseen, others)
    assert auc > 0.75  # a third of the others fit as well: 0.83 at best
    assert trained.auc(others, unseen) == pytest.approx(1 - auc)
    scores = trained.score(
        [("boat and wave or so", "then sand gull"), ("boat and wave or so", "then law jury")], others
    )
    assert scores.shape == (2,)
    assert scores[0] > 0.6 > 0.4 > scores[1]


def test_scores_by_hand(monkeypatch):
    logits = {"a": 1.0, "b": 2.0, "c": 3.0}
    monkeypatch.setattr(Matcher, "logits", lambda self, pairs: np.array([logits[prompt] for prompt, _ in pairs]))
    paper = Matcher({}, Vocabulary(("a",)), True)
    others = [("a", ""), ("b", ""), ("b", ""), ("c", "")]
    assert paper.score([("a", ""), ("b", ""), ("c", "")], others).tolist() == [1 / 8, 4 / 8, 7 / 8]
    assert paper.auc([("b", ""), ("c", "")], others) == 11 / 16


def test_replies_that_do_not_depend_on_prompts_do_not_fit(trained):
    rng = np.random.default_rng(2)
    heldout = by_topic(rng, 300)
    blind = [(prompt, reply) for (prompt, _), (_, reply) in zip(heldout, by_topic(rng, 300), strict=True)]
    good, bad = fit(trained, heldout, heldout), fit(trained, blind, heldout)
    assert good["score_share"] == 1
    assert good["matcher_auc"] == good["generated_auc"] == good["own_auc"] > 0.75
    assert bad["score_share"] < 0.8
    assert bad["generated_auc"] == pytest.approx(0.5, abs=0.08)
    assert bad["own_auc"] == pytest.approx(0.5, abs=0.08)


def test_without_the_junction_its_words_are_not_seen():
    rng = np.random.default_rng(3)
    pairs, unseen = by_junction(rng, 600), by_junction(rng, 300)
    seen, hidden = matcher(pairs), matcher(pairs, junction=False)
    assert seen.auc(unseen, shuffled(unseen)) > 0.75
    assert hidden.auc(unseen, shuffled(unseen)) == pytest.approx(0.5, abs=0.08)
    a, b = hidden.logits([("a b c", "d e f"), ("a b x", "y e f")])
    assert a == b


def test_pairs_without_sense_cannot_be_learned():
    rng = np.random.default_rng(4)
    said = rng.choice(np.concatenate(TOPICS), (800, 4))
    pairs = [(f"{a} {b}", f"{c} {d}") for a, b, c, d in said]
    assert matcher(pairs[:500]).auc(pairs[500:], shuffled(pairs[500:])) == pytest.approx(0.5, abs=0.08)


def test_the_same_pairs_give_the_same_matcher(trained):
    again = matcher(by_topic(np.random.default_rng(0), 600))
    pairs = by_topic(np.random.default_rng(5), 9)
    np.testing.assert_array_equal(again.logits(pairs), trained.logits(pairs))


def test_a_text_without_words_is_scored(trained):
    assert np.isfinite(trained.logits([("", ""), ("boat", "")])).all()


def test_shuffled_replies_are_as_long():
    rng = np.random.default_rng(6)
    pairs = [(f"prompt {i}", " ".join(["w"] * rng.integers(1, 6)) + f" {i}") for i in range(200)]
    mixed = shuffled(pairs)
    assert [prompt for prompt, _ in mixed] == [prompt for prompt, _ in pairs]
    assert sorted(reply for _, reply in mixed) == sorted(reply for _, reply in pairs)
    assert all(a != b for (_, a), (_, b) in zip(pairs, mixed, strict=True))
    other = [len(a.split()) != len(b.split()) for (_, a), (_, b) in zip(pairs, mixed, strict=True)]
    assert sum(other) <= 5  # one a length, and the longest meets the shortest


def test_refuses(trained):
    with pytest.raises(UserError, match="20 pairs and more, not 3"):
        matcher([("a", "b")] * 3)
    with pytest.raises(UserError, match="single pair"):
        shuffled([("a", "b")])
    with pytest.raises(UserError, match="no pair"):
        trained.logits([])
