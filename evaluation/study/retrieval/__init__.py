"""How well objects are found again: the thesis's tables 4.3 and 4.4 and what it left open."""

from evaluation.study.retrieval.options import RetrievalOptions
from evaluation.study.retrieval.results import RetrievalResults
from evaluation.study.retrieval.run import run_retrieval

__all__ = ["RetrievalOptions", "RetrievalResults", "run_retrieval"]
