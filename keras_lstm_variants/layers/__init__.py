"""Cells as layers over time."""
