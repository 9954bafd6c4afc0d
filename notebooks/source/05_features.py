# %% [markdown]
# # 5 · Features
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/05_features.ipynb)
#
# **You will learn** which faces a network treats as alike, where wrong labels lie among their neighbours, how a
# label can be suspected without knowing the truth, and what a map of 64 dimensions can and cannot show.
#
# **You need** [notebook 2](02_baseline_vs_eac.ipynb). **Time**: 25 minutes of reading and trying; the computer works
# for half a minute if the runs of notebook 2 are there, and for 2 to 3 minutes on 2 CPU cores if not (1 minute on a
# GPU).

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Sixty-four numbers for each face
#
# Before the classifier, our network describes a face by 64 numbers, its **features**. The classifier can only
# draw straight borders between them; whatever it finds out about a face must be there. While the runs of
# notebook 2 were trained, the features of 400 training faces were recorded after every epoch.

# %% tags=["nbval-ignore-output"]
import os

import torch
from IPython.display import Image, display

import eacbook as eb
from eacbook.book import RATE, book_faces, book_run, claim, say
from eacbook.pictures import face_sheet, png
from eacbook.recording import Recorded

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
METHODS = {"baseline": eb.Baseline(), "eac": eb.EAC()}
SEEDS = (0, 1, 2)
faces = book_faces()

# %% [markdown]
# Some of these faces, two of every true expression. **Predict**: which of them should lie near each other? Persons, or
# expressions?

# %% tags=["nbval-ignore-output"]
noisy = eb.inject_noise(faces.train.labels, RATE, 7, seed=0)
some = torch.cat([(noisy.true == label).nonzero()[:2, 0] for label in range(7)])
labels = noisy.given[some], noisy.true[some]
display(Image(png(face_sheet(faces.train.images[some], *labels, faces.classes, columns=7, cell=76))))

# %% tags=["nbval-ignore-output"]
recorded = {
    name: [Recorded.of(book_run(method, faces, seed, folder=RUNS)) for seed in SEEDS]
    for name, method in METHODS.items()
}
watched = {name: records[0] for name, records in recorded.items()}

# %%
features = watched["baseline"].features
print("epochs, faces, features:", tuple(features.shape))
print("faces with a wrong label:", int(watched["baseline"].flipped.sum()))

# %% [markdown]
# ## Who are the neighbours?
#
# Two faces are alike, for the network, if their features point in the same direction: the cosine of the angle
# between them. The ten faces with the largest cosine are a face's **neighbours**.
#
# **Predict.** Take a face with a *wrong* label, say a disgusted one that was called neutral. At the end of the
# training, are most of its neighbours disgusted or neutral *in truth*, for the baseline and for EAC?

# %%
def neighbours_of(features, count=10):
    """Rows of the nearest neighbours [n, count] of features [n, C], by cosine; nobody is its own."""
    unit = torch.nn.functional.normalize(features, dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    return cosine.topk(count).indices

# %%
face = int(watched["baseline"].flipped.nonzero()[2])
for name, record in watched.items():
    rows = torch.cat([torch.tensor([face]), neighbours_of(record.features[-1])[face, :8]])
    train = record.rows[rows]
    print(f"{name}: first the face, then its eight nearest neighbours (framed: wrong label)")
    labels = record.given[rows], record.true[rows]
    sheet = face_sheet(faces.train.images[train], *labels, faces.classes, columns=9, cell=76)
    display(Image(png(sheet)))

# %% [markdown]
# ### Exercise 1: the class of a neighbourhood
#
# `neighbours` `[n, 10]` holds the rows of each face's neighbours, `labels` `[n]` a label for each face. Return the
# most frequent label among the neighbours of each face, `[n]`.

# %%
from eacbook.exercises import check_majority_of_neighbours


def my_majority_of_neighbours(neighbours, labels):
    # <solution>
    return labels[neighbours].mode(1).values
    # </solution>


check_majority_of_neighbours(my_majority_of_neighbours)

# %% [markdown]
# Now for all faces with a wrong label, after every epoch: for which share is the neighbourhood (its most frequent *true*
# class) that of the face's own true class? **Predict** two curves. Will the baseline's fall while it memorises?

# %% tags=["nbval-ignore-output"]
from eacbook.features import neighbour_shares
from eacbook.figures import epoch_curves

shares = {name: [neighbour_shares(record) for record in records] for name, records in recorded.items()}


def over_seeds(quantity):
    """[seeds, epochs] of a quantity for each method."""
    return {name: torch.stack([s[quantity] for s in seeds]) for name, seeds in shares.items()}


true, given = over_seeds("among_true"), over_seeds("among_given")
panels = {"among their true class": true, "among the given one": given}
display(epoch_curves(panels, "share of the wrong labels"))
for name in METHODS:
    own, others = true[name], given[name][:, -1].mean()
    say(f"**{name}**, epoch 10: {own[:, 9].mean():.0%} lie among their true class; at the end {own[:, -1].mean():.0%}, and {others:.0%} among the given one.")

# %%
gain = true["eac"][:, -1] - true["baseline"][:, -1]
claim("At the end EAC keeps more wrongly labelled faces among their true class, with every seed.", gain.min(), above=0.1)
moved = given["baseline"][:, -1] - true["baseline"][:, -1]
claim("Under the baseline more of them lie among the class that they were given, with every seed.", moved.min(), above=0)
drop = true["baseline"][:, 9].mean() - true["baseline"][:, -1].mean()
claim("In epoch 10 more of them still lay among their true class.", drop, above=0.1)

# %% [markdown]
# (Left: the neighbourhood is of the face's true class. Right: it is of the class that was given.) Until about epoch 10
# the faces come to lie among their own kind, with either method; EAC is slower to get there. Then the baseline
# *moves* them to where their labels want them: that is what memorising does to the features. Under EAC most stay
# among their own kind, whatever they are called.
#
# ## Do wrong labels lie at the borders?
#
# How *pure* is a neighbourhood: which share of the ten neighbours is of its most frequent class? 100 % inside a
# cluster, less at its border. **Predict**: is it lower around wrong labels, for both methods?

# %% tags=["nbval-ignore-output"]
purity = {
    name: {
        "right labels": torch.stack([share["purity_right"] for share in of_seeds]),
        "wrong labels": torch.stack([share["purity_wrong"] for share in of_seeds]),
    }
    for name, of_seeds in shares.items()
}
display(epoch_curves(purity, "purity of the neighbourhood"))
for name, lines in purity.items():
    right, wrong = (lines[f"{kind} labels"][:, -1].mean() for kind in ("right", "wrong"))
    say(f"**{name}**, at the end: {wrong:.0%} around wrong labels, {right:.0%} around right ones.")
for name, records in recorded.items():
    beside = [record.flipped[neighbours_of(record.features[-1])].double().mean(1) for record in records]
    wrong, right = (
        torch.stack([b[r.flipped == kind].mean() for b, r in zip(beside, records)]).mean() for kind in (True, False)
    )
    say(f"**{name}**: of the neighbours of wrong labels {wrong:.0%} have a wrong label, too, of those of right ones {right:.0%}.")

# %%
for name, lines in purity.items():
    border = (lines["right labels"] - lines["wrong labels"])[:, -1].min()
    claim(f"At the end neighbourhoods of wrong labels are less pure, with every seed ({name}).", border, above=0)

# %% [markdown]
# Not in the beginning, but clearly at the end. But that is no detector yet: many neighbourhoods of rightly labelled
# faces are mixed, too. And part of the effect may be that wrongly labelled faces lie beside *one another*.
#
# ## The map
#
# Sixty-four dimensions cannot be drawn. **UMAP** (McInnes, Healy and Melville, 2018) places the faces on a
# plane so that those which are neighbours among the 64 numbers are neighbours on the plane *as far as possible*.
# Distances between clusters, their sizes and the empty space mean little. We map ten of the epochs. Every map
# starts from one common map of all ten, so that points travel rather than jump.
#
# Slide the epochs or press *play*; point at a face to see it (with the keyboard: go to a map and use the arrow keys). Crosses are
# wrong labels. It needs no kernel.
#
# **Predict, then look:**
#
# 1. Coloured by *true* label: which classes separate first? Which never do?
# 2. Coloured by *right or wrong*: in which epoch do the baseline's crosses begin to wander into foreign clusters?
# 3. Coloured by *given* label, at the end: in which panel does it look *tidier*? Is tidier better?

# %% tags=["nbval-ignore-output"]
from eacbook.features import find_or_map, spread_epochs
from eacbook.widgets import FeatureExplorer

epochs = spread_epochs(watched["baseline"].epochs)
positions = {name: find_or_map(record.features[epochs], RUNS) for name, record in watched.items()}
FeatureExplorer(watched, positions, epochs, faces)

# %%
for name, where in positions.items():
    assert where.shape == (10, 400, 2) and where.isfinite().all()
print("maps:", tuple(positions["eac"].shape), "epochs, faces, coordinates")

# %% [markdown]
# The third question is the trap: by *given* label the baseline's map is the tidier one, because it has memorised. The
# next cell counts, of a face's ten nearest on the map at the end, how many have the same label as the face.

# %% tags=["nbval-ignore-output"]
alike = {}
for name, record in watched.items():
    where = positions[name][-1]
    nearest = torch.cdist(where, where).fill_diagonal_(torch.inf).topk(10, largest=False).indices
    for kind, labels in (("given", record.given), ("true", record.true)):
        alike[name, kind] = float((labels[nearest] == labels[:, None]).double().mean())
    say(f"**{name}**: of ten {10 * alike[name, 'given']:.1f} have the same *given* label, {10 * alike[name, 'true']:.1f} the same *true* one.")

# %%
claim("By given label the baseline's map is tidier than EAC's.", alike["baseline", "given"] - alike["eac", "given"], above=0.1)
claim("By true label EAC's is.", alike["eac", "true"] - alike["baseline", "true"], above=0.05)

# %% [markdown]
# A map shows what a network has made of its labels, and a network that believes mistakes makes tidy clusters of mistakes.
#
# ## Suspecting without knowing the truth
#
# So far we used the true labels. With real data nobody has them. But the neighbours' *given* labels are known:
# suspect a label that differs from the most frequent *given* label of its neighbours. (Wrong labels of the neighbours
# mostly cancel out: no wrong class is as frequent as the right one. With *pair* noise?)
#
# ### Exercise 2: suspects
#
# Use your function of exercise 1, which must be right first: which faces are suspected? `given` `[n]` holds the given
# labels; return bool `[n]`.

# %%
from eacbook.exercises import check_suspects


def my_suspects(neighbours, given):
    # <solution>
    return my_majority_of_neighbours(neighbours, given) != given
    # </solution>


check_suspects(my_suspects)

# %% [markdown]
# **Predict**: precision and recall of these suspects, for the features of either method in epoch 10 and in epoch 30. Which
# of the four would you use to clean a data set?

# %% tags=["nbval-ignore-output"]
import pandas as pd

from eacbook.evaluate import precision_and_recall


def found_by(record, epoch):
    """Precision and recall of the suspects by the features of an epoch."""
    nearest = neighbours_of(record.features[epoch - 1])
    suspected = record.given[nearest].mode(1).values != record.given
    return precision_and_recall(suspected, record.flipped)


found = {
    (epoch, name): torch.tensor([found_by(record, epoch) for record in records])  # [seeds, 2]
    for epoch in (10, 30)
    for name, records in recorded.items()
}
table = {f"epoch {epoch}, {name}": values.mean(0).tolist() for (epoch, name), values in found.items()}
display(pd.DataFrame(table, index=["precision", "recall"]).T.map("{:.0%}".format))
precision, recall = (", ".join(f"{value:.0%}" for value in values) for values in found[30, "eac"].T)
say(f"EAC in epoch 30, seeds 0, 1 and 2: precision {precision}; recall {recall}.")

# %%
mean = {key: values.mean(0) for key, values in found.items()}
claim("In epoch 10 most wrong labels are found.", min(mean[10, name][1] for name in METHODS), above=0.8)
claim("But many suspects are innocent: a quarter at least.", max(mean[10, name][0] for name in METHODS), below=0.75)
claim("At the end the baseline's suspects are mostly guilty.", mean[30, "baseline"][0], above=0.6)
claim("But it finds fewer than half of the wrong labels.", mean[30, "baseline"][1], below=0.5)
claim("EAC still finds more than six in ten.", mean[30, "eac"][1], above=0.6)
claim("Its suspects are mostly guilty, too.", mean[30, "eac"][0], above=0.6)

# %% [markdown]
# (Neighbours among 400 faces, mean of three seeds.) Under the baseline the faces with wrong labels have moved to the class
# that they were given, and hide there. Of the four, take EAC in epoch 30, unless you must find them all. The losses of [notebook 4](04_losses.ipynb) tell the
# same story: both ask what the *other* faces say about a label.
#
# ## Take away
#
# * **Features** show which faces a network treats as alike. Memorising moves a wrongly labelled face among the faces of its wrong
#   class; EAC leaves it more often where it belongs.
# * Wrong labels lie in less **pure** neighbourhoods at the end, but many right ones do, too.
# * A **map** is for looking; for a claim, measure a number in feature space.
#
# **Back**: [4 · Losses](04_losses.ipynb). **On**: the project's README takes the same tools to real faces.
