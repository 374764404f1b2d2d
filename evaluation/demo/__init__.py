"""The main job end to end, as a command: `python -m evaluation.demo`, which `make demo` runs."""
