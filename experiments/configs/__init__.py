"""The experiments that ship: one module per question of the paper, each with its sweep."""
