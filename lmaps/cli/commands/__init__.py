"""The commands of ``lmaps``: a file per group, loaded when one of its commands is called."""
