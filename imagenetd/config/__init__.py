"""What a command may ask for: the schema behind the yaml files, and what is refused."""
