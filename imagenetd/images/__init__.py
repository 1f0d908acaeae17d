"""Pools and data sets: making, keeping and reading images."""
