"""The command lines of `lmaps` and `lmapsd`."""
