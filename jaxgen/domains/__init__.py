"""One file a domain: its networks, its arrays, its pictures. Found by file name."""
