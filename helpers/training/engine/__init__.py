"""The engine: stacks of networks, packs, workers. Imported by `helpers.training` alone."""
