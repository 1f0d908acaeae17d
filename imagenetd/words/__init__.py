"""Categories, nuisances and the prompts made of them."""
