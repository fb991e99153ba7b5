"""Modules that know nothing of lMaPS."""
