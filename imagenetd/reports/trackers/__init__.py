"""Runs as experiment trackers take them."""
