"""Evidence: what was claimed, what was measured, what follows. Needs no torch."""
