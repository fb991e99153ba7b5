"""The documented names of the original's package, from the rooms where they live; nothing inside lMaPS imports them."""
