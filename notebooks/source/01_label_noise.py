# %% [markdown]
# # 1 · Label noise
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/01_label_noise.ipynb)
#
# **You will learn** what a wrong label is, how noise is described by a transition matrix, how
# researchers make labels wrong on purpose, and how wrong people are by themselves.
#
# **You need** a little Python; nothing to download, no GPU. **Time**: about 15 minutes of reading and
# trying; the computer itself works for under a minute, with or without a GPU.
#
# The question behind the whole book: *a network is trained on faces of which three in ten carry the
# wrong label. What does it learn, and how could it be kept from learning the mistakes?* Before we can
# answer it, we need faces and mistakes.

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Meet the faces
#
# Data sets of real faces (RAF-DB, FERPlus, AffectNet) come with terms and may not be passed on. So the
# book draws its own: people who never lived, with an expression that *we* decide. That has a great
# advantage: we know the truth about every single face.

# %%
import torch
from IPython.display import Image, display

import eacbook as eb
from eacbook.pictures import face_sheet, matrix_picture, png

faces = eb.load_faces("synthetic")
print(f"{len(faces.train)} training faces, {len(faces.validation)} for choosing, {len(faces.test)} to test")
print("images:", tuple(faces.train.images.shape), faces.train.images.dtype)
print("classes:", ", ".join(faces.classes))

# %% [markdown]
# Eight of each class. They are stored 48 pixels wide and enlarged here. Some show the expression fully,
# some so faintly that you would not bet on it. **Predict** before you run the cell: which two of the
# seven expressions will you confuse most easily yourself?

# %%
labels = faces.train.labels
rows = torch.cat([(labels == label).nonzero()[:8, 0] for label in range(faces.num_classes)])
images, shown = faces.train.images[rows], labels[rows]
display(Image(png(face_sheet(images, shown, shown, faces.classes, cell=76))))

# %% [markdown]
# Keep your pair in mind. We will come back to it when we ask what people really confuse.
#
# An expression is made of *action units*, the single movements of the face that psychologists count
# (Ekman, Friesen and Hager, 2002): brows up, nose wrinkled, lip corners pulled. Each class has its
# typical units (Du, Tao and Martinez, PNAS 2014), and some that only some people show.

# %%
from eacbook.synthetic import ACTION_UNITS, EXPRESSIONS

for name, (always, sometimes) in EXPRESSIONS.items():
    units = [ACTION_UNITS[unit] for unit in always]
    extras = [f"{ACTION_UNITS[unit]} ({share:.0%})" for unit, share in sometimes.items()]
    print(f"{name:10}", ", ".join(units + extras) or "nothing moves")

# %% [markdown]
# Fear and surprise share raised inner brows and parted lips; fear, sadness and anger share lowered
# brows. And everything faint looks neutral. Here is *surprise* from its faintest to its fullest face.
# **Predict**: from which of the eight on would you call it surprise?

# %%
drawn = faces.train.drawn
surprise = (labels == 0).nonzero()[:, 0]
by_intensity = surprise[drawn.intensity[surprise].argsort()]
strip = by_intensity[torch.linspace(0, len(by_intensity) - 1, 8).long()]
print("intensity:", [round(value, 1) for value in drawn.intensity[strip].tolist()])
sheet = face_sheet(faces.train.images[strip], labels[strip], labels[strip], faces.classes, cell=76)
display(Image(png(sheet)))

# %% [markdown]
# ## Making labels wrong
#
# Real data sets have wrong labels: annotators are tired, faces are ambiguous, a search engine
# answered. How many are wrong, nobody knows. So researchers take labels that they trust and make a
# known share of them wrong. The simplest way is **symmetric noise** of rate $r$: with probability $r$
# the label is replaced by one of the *other* $K-1$ classes, all equally likely.
#
# Any recipe that looks only at the class of a face, not at the face, is a **transition matrix** $T$:
# $T_{ij}$ is the probability that a face of true class $i$ is given label $j$. Each row sums to one. For
# symmetric noise
#
# $$T_{ii} = 1 - r, \qquad T_{ij} = \frac{r}{K-1} \quad (i \neq j).$$
#
# **Predict.** With seven classes and $r = 0.3$: how likely is it that a happy face is given the label
# *fear*? And how many of the 3,000 training labels will be wrong?

# %%
noisy = eb.inject_noise(labels, rate=0.3, num_classes=7, kind="symmetric", seed=0)
print("wrong labels:", int(noisy.flipped.sum()), "of", len(labels))
happy = faces.classes.index("happiness")
print("happiness, asked for:", [round(share, 3) for share in noisy.asked[happy].tolist()])
print("happiness, drawn:    ", [round(share, 3) for share in noisy.drawn[happy].tolist()])

# %% [markdown]
# Exactly 900: we fix the number, and chance decides *which* labels and *what* they become, so the matrix
# that was drawn differs a little from the one asked for. (The papers draw each label by itself, so that
# even their number varies; `exact=False` does that.)
#
# ### Exercise 1: the matrix
#
# Write the transition matrix of symmetric noise as a function of the rate and the number of classes.

# %%
from eacbook.exercises import check_symmetric_matrix


def my_symmetric_matrix(rate, num_classes):
    # <solution>
    matrix = torch.full((num_classes, num_classes), rate / (num_classes - 1))
    return matrix.fill_diagonal_(1 - rate)
    # </solution>


check_symmetric_matrix(my_symmetric_matrix)

# %% [markdown]
# ## Slide the noise
#
# Move the slider (arrow keys work too) and watch three things: which faces get a frame, for a wrong
# label, how the colour leaves the diagonal of the matrix, and the count. (Each rate draws its own wrong
# labels, so frames come and go.) **Predict** what each kind will do to the matrix, then choose it:
#
# * **symmetric**: any other class;
# * **pair**: always the one class that it is most easily taken for, say fear for surprise;
# * **single people's answers**: drawn by a matrix that was measured on real people; more about it below.
#   People are as wrong as they are, so there the slider rests.
#
# (Without a running kernel you see one position of it.)

# %%
from eacbook.widgets import NoiseExplorer

explorer = NoiseExplorer(faces)
explorer.rate.value = 0.3
explorer

# %% [markdown]
# **Predict.** At which rate of *symmetric* noise do the labels say nothing at all any more? (Not at
# 100 %: then a label still says what the face is *not*.) And at which rate of *pair* noise is a wrong
# label as frequent in a class as its own?

# %%
from eacbook.noise import pair_matrix, symmetric_matrix

print("symmetric, 6/7:", [round(share, 3) for share in symmetric_matrix(6 / 7, 7)[happy].tolist()])
pair = pair_matrix(1 / 2, 7, classes=faces.classes)
print("pair, 1/2:     ", [round(share, 3) for share in pair[happy].tolist()])
explorer.rate.value = 0.5
print("slider at 50%, happy faces still called happy:", end=" ")
print(f"{eb.inject_noise(labels, 0.5, 7).drawn[happy, happy]:.0%}")
explorer.rate.value = 0.3

# %% [markdown]
# At $6/7 \approx 86\,\%$ every row of the symmetric matrix is the same: the given label has nothing to do
# with the face any more, but up to there the true class stays the most frequent label. Pair noise needs
# only $50\,\%$ until the wrong class is as frequent as the right one, and beyond that it wins.
#
# ## The other direction
#
# The matrix says what happens to a true class. A network only sees the *given* labels and would need
# the opposite: when a face is labelled *fear*, how sure can we be?
#
# ### Exercise 2: how far can a label be trusted?
#
# Take pair noise of 30 %: three classes (happiness, sadness and anger) are taken for *neutral*.
# `pair.counts[i, j]` is the number of faces of true class `i` that were given label `j`. What share of
# the faces that were **given** the label *neutral* (number 6) really are neutral? **Predict** first: more
# or less than the 70 % of the neutral faces that kept their label?

# %%
from eacbook.exercises import check_right_share

pair = eb.inject_noise(labels, rate=0.3, num_classes=7, kind="pair", classes=faces.classes)
neutral = 6
# <solution> share = ...
share = pair.counts[neutral, neutral] / pair.counts[:, neutral].sum()
# </solution>
check_right_share(share, pair, neutral)

# %% [markdown]
# ## How wrong are people?
#
# FERPlus (Barsoum et al., 2016) asked ten people about each of 35,887 photographs. Take the faces on
# which a majority agreed on one of our seven expressions, and ask how often a *single* one of the answers
# was another of the seven. The matrix below was measured on its training faces with this book's own
# script (`data_scripts/ferplus.py`).
#
# **Predict.** Which row will be the faintest on the diagonal? Will your pair from the beginning be among the
# five most frequent confusions? How many answers in a hundred are wrong?

# %%
from eacbook.noise import SINGLE_VOTES

votes = torch.tensor(SINGLE_VOTES)
display(Image(png(matrix_picture(votes, faces.classes))))
pairs = [(votes[i, j].item(), i, j) for i in range(7) for j in range(7) if i != j]
for share, i, j in sorted(pairs, reverse=True)[:5]:
    print(f"{faces.classes[i]} taken for {faces.classes[j]}: {share:.1%}")

# %% [markdown]
# Happiness is safe; fear is taken for surprise by every sixth person, sadness for neutral nearly as
# often, disgust for anger by every seventh. Over all faces of FERPlus 18 answers in a hundred are wrong. Real label noise is **not symmetric**: it follows the ambiguity of the faces.
# The papers use symmetric noise because it is simple and everybody can repeat it, not because it is
# how people err. Keep that in mind whenever you read that a method "is robust to 30 % label noise".
#
# Give our drawn faces labels by that matrix. **Predict**: will 18 % of them be wrong here, too?

# %%
human = eb.inject_noise(labels, None, 7, kind="matrix", matrix=votes, seed=0)
print(f"{human.rate:.1%} of the labels are wrong")
wrong = human.flipped.nonzero()[:16, 0]
sheet = face_sheet(
    faces.train.images[wrong], human.given[wrong], human.true[wrong], faces.classes, cell=76
)
display(Image(png(sheet)))

# %% [markdown]
# More than on FERPlus, although the matrix is the same: two thirds of the faces of FERPlus are happy or
# neutral, the safest classes, while our classes are equally large. A noise *rate* alone says little.
#
# One thing is still missing: real people err *more often* on the faint faces, the matrix errs on any
# face of the class alike. On FERPlus itself, with its ten votes a face, `kind="annotator"` draws one of the votes
# that were really cast: noise that depends on the picture (see `data_scripts/README.md`).
#
# ## Sharing the mistakes
#
# Whoever wants to compare methods must compare them on the *same* mistakes. So papers publish them, a
# line a face, labels from 1. Write ours and read them back:

# %%
import tempfile
from pathlib import Path

from eacbook.noise import noise_from_file, write_label_file

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "noise_30.txt"
    write_label_file(path, faces.train.files, noisy.given)
    print(path.read_text().splitlines()[:3])
    again = noise_from_file(path, faces.train.files, labels, 7)
print("the same labels:", bool((again.given == noisy.given).all()))

# %% [markdown]
# ## Take away
#
# * A **transition matrix** says which true class is given which label; its rows sum to one.
# * **Symmetric** noise is the laboratory's; **pair** noise reaches the point of no return sooner;
#   **people** err along the ambiguity of the faces, on FERPlus in 18 answers of 100.
# * To compare methods, fix the noise: the same rate, the same seed, the same wrong labels.
#
# **Next**: [2 · Baseline against EAC](02_baseline_vs_eac.ipynb): train a network on these labels and
# watch it learn them, first the right ones, then the wrong ones.
