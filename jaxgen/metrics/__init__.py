"""Features to numbers: how good the samples are."""
