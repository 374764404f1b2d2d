"""Between messages and the dataclasses and arrays that the rest of the code uses."""
