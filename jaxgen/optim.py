"""Optimisers from their configs."""

import optax

from jaxgen.config import Adam
from jaxgen.errors import UserError


def adam(cfg: Adam) -> optax.GradientTransformation:
    """Adam, with warm-up, cosine decay, clipping, weight decay and Nesterov momentum where they are asked for."""
    if cfg.lr <= 0:
        raise UserError(f"The learning rate must be positive, not {cfg.lr}.")
    if cfg.decay and cfg.decay <= cfg.warmup:
        raise UserError(f"The rate can't decay to 0 at step {cfg.decay}, within a warm-up of {cfg.warmup} steps.")
    if cfg.decay:
        rate = optax.warmup_cosine_decay_schedule(0.0 if cfg.warmup else cfg.lr, cfg.lr, cfg.warmup, cfg.decay)
    else:
        rate = optax.linear_schedule(0.0, cfg.lr, cfg.warmup) if cfg.warmup else cfg.lr
    if cfg.weight_decay:
        tx = optax.adamw(rate, cfg.b1, cfg.b2, cfg.eps, weight_decay=cfg.weight_decay, nesterov=cfg.nesterov)
    else:
        tx = optax.adam(rate, cfg.b1, cfg.b2, cfg.eps, nesterov=cfg.nesterov)
    return optax.chain(optax.clip_by_global_norm(cfg.clip), tx) if cfg.clip else tx
