"""One file per command of `pgx`: arguments in, one call, a few lines out."""
