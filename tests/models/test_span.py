"""`tokens.Span` by hand, and its look-ups against its products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.tokens import Critic, Span


def test_a_span_by_hand():
    x = jnp.array([[[1.0], [2.0], [-3.0]]])
    params = {"params": {"kernel": jnp.array([[1.0, -1.0], [10.0, 0.0]]), "bias": jnp.array([0.5, 0.0])}}
    # Windows (1, 2) and (2, -3): 21 and -28; -1 and -2.
    np.testing.assert_allclose(Span(2, 2).apply(params, x), [[21.5, -0.2]])


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_looked_up_it_is_the_same(dtype):
    tokens = jax.random.randint(jax.random.key(0), (7, 6), 0, 5)
    embed = jax.random.normal(jax.random.key(1), (5, 3))
    span = Span(4, 3, dtype)
    params = span.init(jax.random.key(2), embed[tokens])
    found = span.apply(params, tokens, embed)
    assert found.shape == (7, 4)
    np.testing.assert_allclose(
        found.astype("float32"), span.apply(params, embed[tokens]).astype("float32"), atol=0.05 if dtype else 1e-6
    )


def test_a_critic_judges_many_texts_as_it_judges_few():
    critic = Critic(20, 3, (4, 4))
    tokens = jax.random.randint(jax.random.key(0), (8, 6), 0, 20)
    params = critic.init(jax.random.key(1), tokens, train=False)
    many = critic.apply(params, tokens, train=False)  # 48 tokens of 20 kinds: looked up
    few = jnp.concatenate([critic.apply(params, tokens[i : i + 2], train=False) for i in range(0, 8, 2)])
    np.testing.assert_allclose(many, few, atol=1e-6)
    np.testing.assert_allclose(many, critic.apply(params, tokens, train=True), atol=1e-6)
