"""lMaPS."""
