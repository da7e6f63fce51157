"""ResNet of bottlenecks (He et al. 2016, in its form v1.5): the trunk, its two grids, and the files of its weights."""
