"""What the comparison of networks is made of: timing, a peer, records, pictures, tables."""
