"""Super-resolution: published networks that enlarge images."""
