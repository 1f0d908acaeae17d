"""Study: what quality control makes of a mined set with planted mistakes."""
