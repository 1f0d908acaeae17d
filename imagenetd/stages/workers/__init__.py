"""The processes of one machine or many that make and look at images."""
