"""AEP into the cache: `pull` reads one sandbox, `worker` keeps all of them fresh."""
