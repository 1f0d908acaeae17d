"""People look at images: a local page, a form for Mechanical Turk or offline work, and Label Studio's format."""
