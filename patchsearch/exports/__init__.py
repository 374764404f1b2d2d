"""A set of judged patches as files that annotation and training tools read.

Every format is a function over `SetItem`s that writes to a path or a binary stream;
`formats.FORMATS` lists them by name for menus and command lines.
"""

from patchsearch.exports.items import SetItem, Verdict, item_of, with_verdict

__all__ = ["SetItem", "Verdict", "item_of", "with_verdict"]
