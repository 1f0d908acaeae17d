"""Pure arithmetic of the reports: arrays in, arrays out, shapes in the signatures."""
