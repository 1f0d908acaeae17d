"""From logits to numbers: mining, label spaces, counts and statistics."""
