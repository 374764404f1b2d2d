"""`patchsearch bench index`: what an index costs and finds, ours and others in the same run."""
