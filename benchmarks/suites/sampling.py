"""How long does the text oracle take to draw as many texts as the benchmark asks for, and to score them?"""

from benchmarks.oracle import TEXTS
from benchmarks.suites import Case

CASES = tuple(
    Case(f"oracle_{vocabulary}", None, "sampling", {"vocabulary": vocabulary, "batch": TEXTS}, pairs=3)
    for vocabulary in (500, 5000)
)
