"""The benchmark in the formats that other tools read: one adapter for each."""
