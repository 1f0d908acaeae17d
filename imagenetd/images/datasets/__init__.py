"""Images that exist already: benchmarks and folders, with the same face as a pool of our own."""
