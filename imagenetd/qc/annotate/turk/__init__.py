"""Amazon Mechanical Turk: the same task as a HIT; the sandbox unless production is asked for."""
