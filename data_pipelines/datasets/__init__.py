"""tfds builders that turn the data sets of this field, and a folder of yours, into records."""
