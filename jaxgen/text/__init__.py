"""Text as numbers: vocabularies, and the files that text lies in."""
