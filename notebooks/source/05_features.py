# %% [markdown]
# # 5 · Features
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/05_features.ipynb)
#
# **You will learn** which faces are similar for a network, and where faces with wrong labels lie among their
# neighbours. You will learn to suspect a label without knowing the truth. And you will see what a map of 64
# dimensions can show, and what it cannot show.
#
# **You need** [notebook 2](02_baseline_vs_eac.ipynb). **Time**: about 55 minutes of reading and trying. With the
# runs of notebook 2, the computer works for half a minute. Without them, it works for 2 to 3 minutes on 2 CPU
# cores (103 seconds on an H100, while the other notebooks ran too).

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Sixty-four numbers for each face
#
# Before the classifier, our network describes a face by 64 numbers. These are its **features**. The
# classifier can only draw straight borders between them. So everything that the network finds out about a
# face must be in these numbers. In notebook 2, we recorded the features of 400 training faces after every
# epoch.

# %% tags=["nbval-ignore-output"]
import os

import torch
from IPython.display import display

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import RATE, book_faces, book_run, claim, say
from eacbook.plots.pictures import face_sheet
from eacbook.training.recording import Recorded

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
METHODS = {"baseline": eb.Baseline(), "eac": eb.EAC()}
SEEDS = (0, 1, 2)
faces = book_faces()

# %% [markdown]
# Here are some of these faces, two for every true expression. **Predict**: which of them should lie near each
# other? Faces of the same person, or faces with the same expression?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("05", "near each other", guess)

noisy = eb.inject_noise(faces.train.labels, RATE, 7, seed=0)
some = torch.cat([(noisy.true == label).nonzero()[:2, 0] for label in range(7)])
labels = noisy.given[some], noisy.true[some]
show(face_sheet(faces.train.images[some], *labels, faces.classes, columns=7, cell=76))

# %% tags=["nbval-ignore-output"]
recorded = {
    name: [Recorded.of(book_run(method, faces, seed, folder=RUNS)) for seed in SEEDS]
    for name, method in METHODS.items()
}
watched = {name: records[0] for name, records in recorded.items()}

# %%
features = watched["baseline"].features
print("epochs, faces, features:", tuple(features.shape))
print("faces with a wrong label:", int(watched["baseline"].wrong.sum()))

# %% [markdown]
# ## Who are the neighbours?
#
# For the network, two faces are similar if their features point in the same direction. We measure this by the
# cosine of the angle between them. The **neighbours** of a face are the ten faces with the largest cosine.
#
# **Predict.** Take a face with a *wrong* label: for example, true label disgust, given label neutral. At the
# end of the training, which *true* label do most of its neighbours have: disgust or neutral? Answer for the
# baseline and for EAC.

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("05", "neighbours of a wrong label", guess)


def neighbours_of(features, count=10):
    """Rows of the nearest neighbours [n, count] of features [n, C], by cosine; nobody is its own."""
    unit = torch.nn.functional.normalize(features, dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    return cosine.topk(count).indices

# %%
face = int(watched["baseline"].wrong.nonzero()[2])
for name, record in watched.items():
    rows = torch.cat([torch.tensor([face]), neighbours_of(record.features[-1])[face, :8]])
    train = record.rows[rows]
    print(f"{name}: first the face, then its eight nearest neighbours (framed: wrong label)")
    labels = record.given[rows], record.true[rows]
    sheet = face_sheet(faces.train.images[train], *labels, faces.classes, columns=9, cell=76)
    show(sheet)

# %% [markdown]
# ### Exercise 1: the class of a neighbourhood
#
# `neighbours` `[n, 10]` holds the rows of each face's neighbours. `labels` `[n]` holds a label for each face.
# Return the most frequent label among the neighbours of each face, `[n]`.

# %%
from eacbook.book.exercises import check_majority_of_neighbours


def my_majority_of_neighbours(neighbours, labels):
    # <solution>
    return labels[neighbours].mode(1).values
    # </solution>


check_majority_of_neighbours(my_majority_of_neighbours)

# %% [markdown]
# Now take all faces with a wrong label, after every epoch. The class of a neighbourhood is its most frequent
# *true* label. For which share of the faces is this the face's own true label? **Predict** two curves. Will
# the baseline's curve fall while the baseline memorises?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("05", "among their class", guess)

from eacbook.experiments.features import neighbour_shares
from eacbook.plots.figures import epoch_curves

shares = {name: [neighbour_shares(record) for record in records] for name, records in recorded.items()}


def over_seeds(quantity):
    """[seeds, epochs] of a quantity for each method."""
    return {name: torch.stack([s[quantity] for s in seeds]) for name, seeds in shares.items()}


true, given = over_seeds("among_true"), over_seeds("among_given")
panels = {"among their true class": true, "among their given class": given}
display(epoch_curves(panels, "share of the wrong labels"))
for name in METHODS:
    own, others = true[name], given[name][:, -1].mean()
    say(f"**{name}**: in epoch 10, {own[:, 9].mean():.0%} lie among their true class. At the end it is {own[:, -1].mean():.0%}, and {others:.0%} lie among their given class.")

# %%
gain = true["eac"][:, -1] - true["baseline"][:, -1]
claim("At the end, EAC keeps more faces with a wrong label among their true class, with every seed.", gain.min(), above=0.1)
moved = given["baseline"][:, -1] - true["baseline"][:, -1]
claim("Under the baseline, more of them lie among their given class than among their true class, with every seed.", moved.min(), above=0)
drop = true["baseline"][:, 9].mean() - true["baseline"][:, -1].mean()
claim("In epoch 10, more of the baseline's faces still lay among their true class than at the end.", drop, above=0.1)

# %% [markdown]
# (In the left panel, the neighbourhood has the face's true label. In the right panel, it has the given
# label.) Until about epoch 10, the faces move to the faces of their true class, with either method. EAC takes
# longer. Then the baseline *moves* them to the class of their given label. That is what memorising does to
# the features. Under EAC, most stay among their true class, whatever their given label is.
#
# ## Do wrong labels lie at the borders?
#
# How *pure* is a neighbourhood? Its **purity** is the share of the ten neighbours that have its most frequent
# class. It is 100 % inside a cluster and less at the border of a cluster. **Predict**: is it lower around
# wrong labels, for both methods?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("05", "purity", guess)

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
    say(f"**{name}**, purity at the end: {wrong:.0%} around wrong labels, {right:.0%} around right labels.")
for name, records in recorded.items():
    beside = [record.wrong[neighbours_of(record.features[-1])].double().mean(1) for record in records]
    wrong, right = (
        torch.stack([b[r.wrong == kind].mean() for b, r in zip(beside, records)]).mean() for kind in (True, False)
    )
    say(f"**{name}**: around wrong labels, {wrong:.0%} of the neighbours have a wrong label, too. Around right labels, {right:.0%} have one.")

# %%
for name, lines in purity.items():
    border = (lines["right labels"] - lines["wrong labels"])[:, -1].min()
    claim(f"At the end, the neighbourhoods of wrong labels are less pure, with every seed ({name}).", border, above=0)

# %% [markdown]
# It is not lower at the beginning, but clearly lower at the end. This does not yet detect wrong labels: many
# neighbourhoods of right labels are mixed, too. And a part of the effect may have another reason. Faces with
# a wrong label may lie beside *one another*.
#
# EAC's authors say that their method pushes faces with a wrong label to the *border*. Compare the gap between
# right and wrong labels in the numbers above. In the saved run it is 17 points for the baseline and 10 for
# EAC. So both methods have wrong labels nearer to the borders, but EAC has them there *less* than the
# baseline. This fits the first figure. EAC leaves most of them among their true class, deep inside it. (All
# claims of the poster are on [one page](https://github.com/eacbook/eacbook/blob/main/docs/claims.md).)
#
# ## The map
#
# Nobody can draw 64 dimensions. **UMAP** (McInnes, Healy and Melville, 2018) places the faces on a plane.
# Faces that are neighbours among the 64 numbers become neighbours on the plane, *as far as possible*. The
# distances between clusters, their sizes and the empty space mean little. We map ten of the epochs. Every map
# starts from one common map of all ten, so that the points move gradually and do not jump.
#
# Move the slider through the epochs, or press *play*. Point at a face to see it. (With the keyboard, go to a
# map and use the arrow keys.) Crosses are wrong labels. The maps need no kernel.
#
# **Predict, then look:**
#
# 1. Colour by *true* label. Which classes separate first? Which classes never separate?
# 2. Colour by *right or wrong*. In which epoch do the baseline's crosses begin to move into clusters of other
#    classes?
# 3. Colour by *given* label, at the end. Which panel looks *tidier*? Is tidier better?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("05", "maps", guess)

from eacbook.experiments.features import find_or_map, spread_epochs
from eacbook.book.widgets import FeatureExplorer

epochs = spread_epochs(watched["baseline"].epochs)
positions = {name: find_or_map(record.features[epochs], RUNS) for name, record in watched.items()}
FeatureExplorer(watched, positions, epochs, faces)

# %%
for name, where in positions.items():
    assert where.shape == (10, 400, 2) and where.isfinite().all()
print("maps:", tuple(positions["eac"].shape), "epochs, faces, coordinates")

# %% [markdown]
# Question 3 is a trap. By *given* label, the baseline's map is tidier, because the baseline has memorised.
# The next cell uses the map at the end. It counts how many of a face's ten nearest faces have the same label
# as the face.

# %% tags=["nbval-ignore-output"]
alike = {}
for name, record in watched.items():
    where = positions[name][-1]
    nearest = torch.cdist(where, where).fill_diagonal_(torch.inf).topk(10, largest=False).indices
    for kind, labels in (("given", record.given), ("true", record.true)):
        alike[name, kind] = float((labels[nearest] == labels[:, None]).double().mean())
    say(f"**{name}**: of the ten nearest faces, {10 * alike[name, 'given']:.1f} have the same *given* label, and {10 * alike[name, 'true']:.1f} have the same *true* label.")

# %%
claim("By given label, the baseline's map is tidier than EAC's.", alike["baseline", "given"] - alike["eac", "given"], above=0.1)
claim("By true label, EAC's map is tidier than the baseline's.", alike["eac", "true"] - alike["baseline", "true"], above=0.05)

# %% [markdown]
# A map shows what a network has learnt from its labels. If a network believes mistakes, it makes tidy
# clusters of mistakes.
#
# ## Suspecting without knowing the truth
#
# So far we used the true labels. With real data, nobody has them. But we know the *given* labels of the
# neighbours. So we suspect a label if it differs from the most frequent *given* label of its neighbours. (The
# wrong labels of the neighbours mostly cancel out, because no wrong class is as frequent as the right one.
# Does this hold for *pair* noise?)
#
# ### Exercise 2: suspects
#
# Use your function of exercise 1; it must be right first. Which labels do we suspect? `given` `[n]` holds the
# given labels. Return bool `[n]`.

# %%
from eacbook.book.exercises import check_suspects


def my_suspects(neighbours, given):
    # <solution>
    return my_majority_of_neighbours(neighbours, given) != given
    # </solution>


check_suspects(my_suspects)

# %% [markdown]
# **Predict** the precision and the recall of these suspects. Do it for the features of both methods, in epoch
# 10 and in epoch 30. Which of the four would you use to clean a data set?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("05", "suspects", guess)

import pandas as pd

from eacbook.book.exercises import yours_or_ours
from eacbook.evaluation.evaluate import precision_and_recall


def our_suspects(neighbours, given):
    return given[neighbours].mode(1).values != given


suspects_of = yours_or_ours(my_suspects, our_suspects, check_suspects)


def found_by(record, epoch):
    """Precision and recall of the suspects by the features of an epoch."""
    suspected = suspects_of(neighbours_of(record.features[epoch - 1]), record.given)
    return precision_and_recall(suspected, record.wrong)


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
claim("In epoch 10, both methods find most wrong labels.", min(mean[10, name][1] for name in METHODS), above=0.8)
claim("But at least a quarter of the suspected labels are right.", max(mean[10, name][0] for name in METHODS), below=0.75)
claim("At the end, most labels that the baseline suspects are wrong.", mean[30, "baseline"][0], above=0.6)
claim("But the baseline finds fewer than half of the wrong labels.", mean[30, "baseline"][1], below=0.5)
claim("EAC still finds more than six in ten of them.", mean[30, "eac"][1], above=0.6)
claim("Most labels that EAC suspects are wrong, too.", mean[30, "eac"][0], above=0.6)

# %% [markdown]
# (These are neighbours among 400 faces, and means over three seeds.) Under the baseline, the faces with wrong
# labels have moved to their given class. There, their neighbours agree with the wrong label. Of the four,
# take EAC in epoch 30, unless you must find all wrong labels. The losses of [notebook 4](04_losses.ipynb)
# lead to the same result. Both show what the *other* faces say about a label.
#
# ## Quiz

# %%
quiz("05")

# %% [markdown]
# ## Take away
#
# * **Features** show which faces are similar for a network. Memorising moves a face with a wrong label to the
#   faces of its wrong class. EAC leaves it more often among its true class.
# * At the end, wrong labels lie in less **pure** neighbourhoods. But many right labels do, too.
# * A **map** is for looking. For a claim, measure a number in feature space.
#
# **Back**: [4 · Losses](04_losses.ipynb). **Next**: [6 · The methods](06_the_methods.ipynb) has four more answers
# to the question which labels to believe.
