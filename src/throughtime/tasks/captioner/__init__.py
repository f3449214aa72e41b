"""A picture in, words out until END."""
