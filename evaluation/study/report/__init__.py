"""What a study found, as a page with tables, plots and galleries."""

from evaluation.study.report.writing import write_report

__all__ = ["write_report"]
