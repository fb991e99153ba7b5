"""The commands of ``lmaps``, a file per resource; each is imported when one of its commands is called."""
