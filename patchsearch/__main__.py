"""`python -m patchsearch`: the command line."""

from patchsearch.cli import main

main()
