import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from jaxgen.data import prose
from jaxgen.errors import UserError
from jaxgen.metrics.bleu import References, bleu, self_bleu
from jaxgen.metrics.tokens import texts
from jaxgen.text.vocabulary import build


def nltk_bleu(references, sentence, n):
    return sentence_bleu(references, sentence, (1 / n,) * n, SmoothingFunction().method1)


def random_texts(rng, count, width, words):
    """Rows of any length, 0 and `width` among them, of so few words that n-grams repeat within a row."""
    tokens = rng.integers(1, words + 1, (count, width))
    tokens[np.arange(width) >= rng.integers(0, width + 1, (count, 1))] = 0
    return tokens


@pytest.mark.parametrize("words", [2, 5, 40])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_equals_nltk(words, n):
    rng = np.random.default_rng(words)
    samples, references = random_texts(rng, 40, 9, words + 1), random_texts(rng, 30, 7, words)
    expected = [nltk_bleu(texts(references), sentence, n) for sentence in texts(samples)]
    np.testing.assert_allclose(References(references).score(samples, n), expected, rtol=1e-12)
    assert bleu(samples, references, n) == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("words", [2, 5, 40])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_self_bleu_equals_nltk(words, n):
    samples = random_texts(np.random.default_rng(words), 30, 8, words)
    samples[7] = samples[3]  # twice the same text: each is a reference of the other
    every = texts(samples)
    expected = [nltk_bleu(every[:i] + every[i + 1 :], sentence, n) for i, sentence in enumerate(every)]
    np.testing.assert_allclose(References(samples).leave_one_out(n), expected, rtol=1e-12)
    assert self_bleu(samples, n) == pytest.approx(np.mean(expected), rel=1e-12)


def test_equals_nltk_on_real_sentences():
    sentences = prose.manual()[:240]
    tokens = build(sentences, 500).encode(sentences, 20)
    samples, references = tokens[:40], tokens[40:]
    for n in (2, 5):
        expected = [nltk_bleu(texts(references), sentence, n) for sentence in texts(samples)]
        np.testing.assert_allclose(References(references).score(samples, n), expected, rtol=1e-12)


def test_by_hand():
    references = np.array([[1, 2, 3, 4, 0, 9]])
    assert bleu(np.array([[1, 2, 3, 4, 0, 0]]), references, 4) == pytest.approx(1)
    # 1-grams 2 of 2, 2-grams 1 of 1; half as long as the reference: exp(1 - 4 / 2)
    assert bleu(np.array([[1, 2]]), references, 2) == pytest.approx(np.exp(-1))
    # the 1 counts once: 1-grams 1 of 4, no 2-gram of 3, for which .1 stands
    assert bleu(np.array([[1, 1, 1, 1]]), references, 2) == pytest.approx(np.sqrt(1 / 4 * 0.1 / 3))
    assert bleu(np.array([[0, 1], [7, 8]]), references, 2) == 0


def test_equal_texts_are_not_diverse():
    assert self_bleu(np.full((5, 6), 3), 5) == pytest.approx(1)
    assert self_bleu(np.arange(1, 31).reshape(5, 6), 2) == 0


def test_refuses():
    tokens = np.ones((3, 4), np.int64)
    with pytest.raises(UserError, match="at least 2"):
        self_bleu(tokens[:1], 2)
    with pytest.raises(UserError, match="at least 1, not 0"):
        References(tokens, 0)
    with pytest.raises(UserError, match="BLEU-1 to BLEU-3, not BLEU-4"):
        References(tokens, 3).score(tokens, 4)
    for bad, message in ((tokens[0], "N, T"), (tokens * 1.0, "whole numbers"), (-tokens, "the token -1")):
        with pytest.raises(UserError, match=f"samples .*{message}"):
            bleu(bad, tokens, 2)
        with pytest.raises(UserError, match=f"references .*{message}"):
            bleu(tokens, bad, 2)
