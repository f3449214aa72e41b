"""One text for another: an encoder reads, a decoder writes until END."""
