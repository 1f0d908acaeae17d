"""Ways to decide whether an image shows its object: each gives votes, or says whose are still missing."""
