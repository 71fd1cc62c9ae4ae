"""What the space is, in torch: towers, heads and losses."""
