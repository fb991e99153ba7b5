"""Which lMaPS this is. The packaging reads it here, as importlib.metadata would take 18 ms of each start."""

__version__ = "2.0.0"
