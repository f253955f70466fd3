"""A frozen game, `init` and `train_step`: one file a game.

What the rest of the house calls on each of these modules:

    init(key, batch, game) -> state                 `state` has at least `step`, `key`, `ema` and `skipped`
    train_step(state, batch, game, axis_name=None) -> (state, metrics)
    sample(state, keys, game) -> [N, ...]           of the averaged networks, one for each key
    decode(state, z, game) -> [N, ...]              the same at given latents [N, Z]
    show(state, key, game, batch=None) -> pictures  what a domain can write to a file

where the game has a likelihood, `bounds(state, batch, keys, game, samples)`; and where it makes images of images, in
the place of `sample` and `decode`:

    translate(state, x, keys, game) -> [N, ...]     of the averaged networks, for sources x [N, ...]
    sources(batch, keys, game) -> [N, ...]          the sources of a batch

or where it makes sequences,

    sample(state, keys, game, given=None, temperature=1.0) -> [N, T, ...]     to go with `given`, arrays by name
"""
