"""The processes that srun or torchrun started work on one run: the first leads, the others take shards from it."""
