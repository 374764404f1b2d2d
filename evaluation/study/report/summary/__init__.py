"""`python -m evaluation.study.report.summary DIR...`: several studies as one page of Markdown."""
