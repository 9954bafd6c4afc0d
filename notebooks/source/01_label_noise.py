# %% [markdown]
# # 1 · Label noise
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/01_label_noise.ipynb)
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
# Data sets of real faces (RAF-DB, FERPlus, AffectNet) must be asked for and may not be passed on. So
# the book draws its own: people who never lived, with an expression that *we* decide. That has a great
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
# Eight of each class, just as the computer stores them: 48 pixels wide. Some show the expression fully,
# some so faintly that you would not bet on it.

# %%
labels = faces.train.labels
rows = torch.cat([(labels == label).nonzero()[:8, 0] for label in range(faces.num_classes)])
images, shown = faces.train.images[rows], labels[rows]
display(Image(png(face_sheet(images, shown, shown, faces.classes, cell=76))))

# %% [markdown]
# **Predict.** Which two expressions would you yourself confuse most easily in this sheet? Write them
# down. We will come back to it when we ask what people really confuse.
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
# Fear and surprise share raised inner brows and parted lips; sadness, anger and disgust share lowered
# brows. And everything faint looks neutral. Here is one class from its faintest to its fullest face:

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
# Any such recipe is a **transition matrix** $T$, where $T_{ij}$ is the probability that a face of true
# class $i$ is given label $j$. For symmetric noise
#
# $$T_{ii} = 1 - r, \qquad T_{ij} = \frac{r}{K-1} \quad (i \neq j).$$
#
# **Predict.** With seven classes and $r = 0.3$: how likely is it that a happy face is given the label
# *fear*? And how many of the 3,000 training labels will be wrong?

# %%
noisy = eb.inject_noise(labels, rate=0.3, num_classes=7, kind="symmetric", seed=0)
print("wrong labels:", int(noisy.flipped.sum()), "of", len(labels))
print("asked for, first row:", [round(share, 3) for share in noisy.asked[0].tolist()])
print("drawn,     first row:", [round(share, 3) for share in noisy.drawn[0].tolist()])

# %% [markdown]
# Exactly 900: the number is fixed, chance decides only *which* labels and *what* they become. That is
# why the matrix that was really drawn differs a little from the one asked for.
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
# Move the slider (arrow keys work too) and watch three things: which faces get a frame, how the colour
# leaves the diagonal of the matrix, and the count. Then change the kind:
#
# * **symmetric**: any other class;
# * **pair**: always the class that is most easily confused, say fear for surprise;
# * **single people's answers**: what *one* annotator of FERPlus said, where most of ten agreed on
#   something. People are as wrong as they are, so there the slider rests.
#
# (Without a running kernel you see one position of it.)

# %%
from eacbook.widgets import NoiseExplorer

explorer = NoiseExplorer(faces)
explorer.rate.value = 0.3
explorer

# %% [markdown]
# **Predict.** At which rate of *symmetric* noise do the labels say nothing at all any more? (Careful:
# not at 100 %.) At which rate of *pair* noise does the majority of a class carry the wrong label?

# %%
for rate in (0.3, 0.8):
    explorer.rate.value = rate
    print(f"slider at {rate:.0%}:", explorer.counts.value)
explorer.rate.value = 0.3

# %% [markdown]
# With seven classes, symmetric noise of $6/7 \approx 86\,\%$ makes every row of the matrix the same:
# the given label is then independent of the face. Pair noise takes only $50\,\%$ to leave no way of
# telling which of two classes is the true one, and beyond that the wrong class has the majority.
#
# ## The other direction
#
# The matrix says what happens to a true class. A network only sees the *given* labels and would need
# the opposite: when a face is labelled *fear*, how sure can we be?
#
# ### Exercise 2: how far can a label be trusted?
#
# `noisy.counts[i, j]` is the number of faces of true class `i` that were given label `j`. What share of
# the faces that were **given** the label *fear* (number 1) really show fear?

# %%
from eacbook.exercises import check_right_share

fear = 1
# <solution> share = ...
share = noisy.counts[fear, fear] / noisy.counts[:, fear].sum()
# </solution>
check_right_share(share, noisy, fear)

# %% [markdown]
# ## How wrong are people?
#
# FERPlus (Barsoum et al., 2016) asked ten people about each of 35,887 photographs. Take the faces on
# which the majority agreed, and ask how often a *single* person said something else. The numbers below
# were measured on its training faces with this book's own script (`data_scripts/ferplus.py`).
#
# **Predict.** How many single answers in a hundred differ from the majority's? Which row will be the
# palest on the diagonal? Was your pair from the beginning among the confusions?

# %%
from eacbook.noise import SINGLE_VOTES

votes = torch.tensor(SINGLE_VOTES)
display(Image(png(matrix_picture(votes, faces.classes))))
pairs = [(votes[i, j].item(), i, j) for i in range(7) for j in range(7) if i != j]
for share, i, j in sorted(pairs, reverse=True)[:5]:
    print(f"{faces.classes[i]} taken for {faces.classes[j]}: {share:.1%}")

# %% [markdown]
# Happiness is safe; fear is taken for surprise by every sixth person, sadness for neutral nearly as
# often, disgust for anger by every seventh. Real label noise is **not symmetric**: it follows the ambiguity of the faces.
# The papers use symmetric noise because it is simple and everybody can repeat it, not because it is
# how people err. Keep that in mind whenever you read that a method "is robust to 30 % label noise".
#
# Give our drawn faces the labels that such single people would have given:

# %%
human = eb.inject_noise(labels, None, 7, kind="matrix", matrix=votes, seed=0)
print(f"{human.rate:.1%} of the labels are wrong; on FERPlus itself it would be 18%")
wrong = human.flipped.nonzero()[:16, 0]
sheet = face_sheet(
    faces.train.images[wrong], human.given[wrong], human.true[wrong], faces.classes, cell=76
)
display(Image(png(sheet)))

# %% [markdown]
# More than on FERPlus, although the matrix is the same: two thirds of the faces of FERPlus are happy or
# neutral, the safest classes, while our classes are equally large. A noise *rate* alone says little.
#
# One thing is still missing: a real person errs on the *faint* faces, the matrix errs on any face of
# the class. On FERPlus itself, with its ten votes a face, `kind="annotator"` draws one of the votes
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
# * **Symmetric** noise is the laboratory's; **pair** noise is harder at the same rate; **people** err
#   along the ambiguity of the faces, on FERPlus in 18 answers of 100.
# * To compare methods, fix the noise: the same rate, the same seed, the same wrong labels.
#
# **Next**: [2 · Baseline against EAC](02_baseline_vs_eac.ipynb): train a network on these labels and
# watch it learn them, first the right ones, then the wrong ones.
