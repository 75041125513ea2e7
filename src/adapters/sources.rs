//! Sources: fetched once, checked against their checksum, unpacked, kept in the cache.
