"""Adapters that turn prompts into images."""
