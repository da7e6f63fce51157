"""Snapshots: trained parameters in files, in the layout of the reference's `.pth` and as safetensors."""
