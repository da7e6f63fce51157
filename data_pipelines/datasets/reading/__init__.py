"""Files as their authors left them: found, decoded, and understood."""
