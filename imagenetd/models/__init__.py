"""Classifiers: one interface, one adapter for each library."""
