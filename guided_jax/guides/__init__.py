"""From annotated support to guidance, the latent task representation."""
