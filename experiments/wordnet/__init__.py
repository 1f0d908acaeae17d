"""Makes the data file of WordNet's part above the 1,000 ImageNet classes."""
