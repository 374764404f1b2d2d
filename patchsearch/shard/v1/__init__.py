"""Generated messages and stubs of the shard API, package `patchsearch.shard.v1`."""
