"""Generated messages and stubs of the operations, package `patchsearch.cluster.v1`."""
