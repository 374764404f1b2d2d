"""Generated messages and stubs of the encoder API, package `patchsearch.encoder.v1`."""
