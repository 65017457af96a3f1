"""The Discogs data dumps: records, reader, and the two workers that store them."""
