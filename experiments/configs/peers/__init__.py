"""The systems that the paper compares with, a module each, and its comparisons with them."""
