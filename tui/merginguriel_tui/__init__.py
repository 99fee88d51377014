"""Terminal interface of MergingUriel, a client of the functions that `mu` calls."""
