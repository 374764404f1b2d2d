"""What the summary says apart from figures."""

from __future__ import annotations

INTRODUCTION = """\
# Selection and retrieval quality

The tables of the thesis's chapter 4 on other data, and what it left open. `patchsearch evaluate`
([how](evaluation.md)) makes them from any folder with COCO annotations, with plots and galleries;
this page is put together from its results by `python -m evaluation.study.report.summary`. Figures
are of the bundled encoder and the default saliency model unless a command says otherwise. They
speak of these data sets and these models: other photos give other figures. Times are of two cores
that did much other work meanwhile: take them as upper bounds.

- **Captured**: a patch holds at least half of the object, and the object covers at least 5 % of the
  patch. Crowds, and objects below 3000 px at 3848 x 2168 (scaled to each photo), do not count.
- **Precision@16**: the share of right ones of the first 16 hits; of overlapping patches of one
  photo only the best is a hit. In brackets the standard deviation of a class's queries. Means are
  over the queries of a class, then over classes. Searches are exhaustive, by cosine, unless a table
  says otherwise.
- **Queries**: crops of the data set's own objects with a margin of 10 %; the photos that a query's
  crops come from are left out of what it searches. Texts are wordings made from a class's name. A
  whole photo counts as right when it shows an object of the class at all.
- **Reachable**: a class with few objects cannot fill 16 hits; this is the precision of the best
  possible order. **Chance**: the share of right patches.
- **Beyond the thesis**: all settings of one table ask with the same queries, for a class with many
  objects only its first crops; what a setting does is told in the report's own tables.
- **Objects found**: the share of a class's objects that the first hits show; **findable**, that any
  patch shows. A hit of whole photos is a photo to be looked through; with fewer photos than hits
  all of them are.
"""

THESIS = """\

## For comparison: the thesis

Its own figures, on 50 000 photos of 3848 x 2168 from ordinary driving, with CLIP ViT-B/16 and a
SALICON-trained SimpleNet. Nothing here was measured by this project, and nothing above is on those
photos.

| | ambulance | animal | road narrows sign |
| --- | --: | --: | --: |
| captured, baseline-unfiltered (128 patches a photo) | 0.684 | 0.333 | 0.474 |
| captured, baseline-filtered (35) | 0.615 | 0.274 | 0.303 |
| captured, multisize-filtered (35) | 0.854 | 0.264 | 0.657 |
| captured, hierarchical-filtered (35) | 0.895 | 0.611 | 0.747 |
| precision@16, whole photos, one crop | 0.13 | 0.04 | 0.00 |
| precision@16, whole photos, one text | 0.23 | 0.09 | 0.00 |
| precision@16, patches, one crop | 0.72 | 0.56 | 0.36 |
| precision@16, patches, one text | 0.70 | 0.30 | 0.00 |
| precision@16, patches, average of 20 crops | 0.875 | 0.875 | 0.50 |
| precision@16, HNSW32, one crop | 0.70 | 0.50 | 0.33 |
| precision@16, PQ64 not rescored, one crop | 0.16 | 0.00 | 0.06 |
"""

DATA = """\
## The data, and what the models had seen of it

`data/` holds COCO-format copies: **gtsdb**, 240 photos of the German Traffic Sign Detection
Benchmark (Houben et al., IJCNN 2013), 1360 x 800, 43 classes of signs; **coco128**, the first 128
photos of COCO's train2017 and of its val2017, at most 640 px, where objects often fill the photo.
**scenes** are generated from seeds and styles that no training used; their target classes are those
of the thesis.

The bundled encoder was trained on views of about half of the photos of gtsdb and coco128, so
figures on all photos flatter it. What is called **held-out** is the half that it never saw
(`training/mini/holdout.py`). The default saliency model saw two thirds of the photos and, of gtsdb
and coco128, their boxes, by a rule of its own (`training/simplenet/photos.py`): what it captures in
photos that it never saw is in [selection.md](selection.md). It never saw a box of **raccoon**. The
held-out half is made in the repository's folder with

    python - data/gtsdb data/gtsdb-held-out <<'END'
    import json, sys
    from pathlib import Path
    from training.mini.holdout import held_out
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    data = json.loads((source / "annotations.json").read_text())
    data["images"] = [one for one in data["images"] if held_out(one["file_name"])]
    kept = {one["id"] for one in data["images"]}
    data["annotations"] = [one for one in data["annotations"] if one["image_id"] in kept]
    target.mkdir(parents=True)
    (target / "annotations.json").write_text(json.dumps(data))
    (target / "images").symlink_to((source / "images").resolve())
    END
"""
