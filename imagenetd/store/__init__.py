"""Folders, keys, locks and files of other programs."""
