"""A frozen game, `init` and `train_step`: one file a game."""
