"""Which tasks of a data set are posed: classes and folds, lists, published protocols."""
