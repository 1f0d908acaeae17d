"""Who starts the workers of a long stage: processes of this machine, of SLURM, or of Ray."""
