"""Switches between a bundle's objectives, tried in simulation."""
