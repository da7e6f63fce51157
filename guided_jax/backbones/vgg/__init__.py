"""VGG in fully convolutional form: the trunk, its three grids, and the files of its published weights."""
