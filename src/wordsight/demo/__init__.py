"""The whole story on one computer: names for photographs, a factory's own words, a new word."""
