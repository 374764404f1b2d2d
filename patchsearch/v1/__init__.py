"""Generated messages and stubs of the public API, package `patchsearch.v1`."""
