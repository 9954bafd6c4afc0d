# %% [markdown]
# # 1 · Label noise
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/01_label_noise.ipynb)
#
# **You will learn** what a wrong label is, and how a transition matrix describes noise. You will also learn
# how researchers make labels wrong on purpose, and how often people are wrong by themselves.
#
# **You need** a little Python. If *logit* or *cross-entropy* is new to you, begin with the
# [primer](00_primer.ipynb). You need no download and no GPU. **Time**: about 45 minutes of reading and
# trying. The computer itself works for under a minute, with or without a GPU.
#
# The whole book asks one question. *A network is trained on faces, and three in ten carry the wrong label.
# What does it learn? How can we keep it from learning the mistakes?* Before we can answer, we need faces and
# mistakes.

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Meet the faces
#
# Data sets of real faces (RAF-DB, FERPlus, AffectNet) come with terms of use. Nobody may pass them on. So the
# book draws its own **synthetic faces**. They show people who never lived, and *we* choose each expression.
# That is a great advantage: we know the truth about every single face.

# %%
import torch

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.plots.pictures import face_sheet, matrix_picture

faces = eb.load_faces("synthetic")
print(f"{len(faces.train)} training faces, {len(faces.validation)} validation faces, {len(faces.test)} test faces")
print("images:", tuple(faces.train.images.shape), faces.train.images.dtype)
print("classes:", ", ".join(faces.classes))

# %% [markdown]
# Here are eight faces of each class. They are stored 48 pixels wide and enlarged here. Some show the
# expression fully. Others show it weakly.

# %%
labels = faces.train.labels
rows = torch.cat([(labels == label).nonzero()[:8, 0] for label in range(faces.num_classes)])
images, shown = faces.train.images[rows], labels[rows]
show(face_sheet(images, shown, shown, faces.classes, cell=76))

# %% [markdown]
# Write your guess between the quotes of the next cell, and run it. **Predict**: which two of the seven expressions would
# you confuse most easily yourself?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "hardest pair", guess)

# %% [markdown]
# Remember your pair. We return to it when we ask what people really confuse.
#
# An expression is made of *action units*. They are the single movements of the face that psychologists count
# (Ekman, Friesen and Hager, 2002). Examples are raised brows, a wrinkled nose and pulled lip corners. Each
# class has its typical units (Du, Tao and Martinez, PNAS 2014). It also has units that only some people show.

# %%
from eacbook.synthetic.faces import ACTION_UNITS, EXPRESSIONS

for name, (always, sometimes) in EXPRESSIONS.items():
    units = [ACTION_UNITS[unit] for unit in always]
    extras = [f"{ACTION_UNITS[unit]} ({share:.0%})" for unit, share in sometimes.items()]
    print(f"{name:10}", ", ".join(units + extras) or "nothing moves")

# %% [markdown]
# Fear and surprise share raised inner brows and parted lips. Fear, sadness and anger share lowered brows. And
# the fainter an expression is, the more it looks like neutral. The next cell shows *surprise* from its faintest to its
# fullest face.

# %%
drawn = faces.train.drawn
surprise = (labels == 0).nonzero()[:, 0]
by_intensity = surprise[drawn.intensity[surprise].argsort()]
strip = by_intensity[torch.linspace(0, len(by_intensity) - 1, 8).long()]
sheet = face_sheet(faces.train.images[strip], labels[strip], labels[strip], faces.classes, cell=76)
show(sheet)

# %% [markdown]
# **Predict**: at which of the eight faces would you begin to call it surprise? (You may begin at the first one.) How strong
# is the expression there? (0 is no expression, and 1 is the full one.)

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "first surprise", guess)

print("intensity:", [round(value, 1) for value in drawn.intensity[strip].tolist()])

# %% [markdown]
# ## Making labels wrong
#
# Real data sets have wrong labels. Annotators are tired, faces are ambiguous, or a search engine chose the
# label. Nobody knows how many labels are wrong. So researchers take labels that they trust, and make a known
# share of them wrong. The simplest way is **symmetric noise** of rate $r$. With probability $r$, one of the
# *other* $K-1$ classes replaces the label. All of them are equally likely.
#
# Some recipes look only at the class of a face, not at the face itself. Any such recipe is a **transition
# matrix** $T$. $T_{ij}$ is the probability that a face of true class $i$ gets the given label $j$. Each row
# sums to one. For symmetric noise
#
# $$T_{ii} = 1 - r, \qquad T_{ij} = \frac{r}{K-1} \quad (i \neq j).$$
#
# **Predict.** Take seven classes and $r = 0.3$. How likely is it that a happy face gets the label *fear*? And
# how many of the 3,000 training labels will be wrong?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "fear for happiness", guess)

noisy = eb.inject_noise(labels, rate=0.3, num_classes=7, kind="symmetric", seed=0)
print("wrong labels:", int(noisy.wrong.sum()), "of", len(labels))
happy = faces.classes.index("happiness")
print("happiness, transition matrix:", [round(share, 3) for share in noisy.transition_matrix[happy].tolist()])
print("happiness, empirical matrix: ", [round(share, 3) for share in noisy.empirical_matrix[happy].tolist()])

# %% [markdown]
# Exactly 900 labels are wrong, because we fix the number. Chance decides *which* labels are wrong and *what*
# they become. So the empirical matrix (what came out) differs a little from the transition matrix (what was
# requested). The papers draw each label independently, so even their number of wrong labels varies.
# `exact=False` does that.
#
# ### Exercise 1: the matrix
#
# Write the transition matrix of symmetric noise as a function of the rate and the number of classes. Return a tensor of
# PyTorch.

# %%
from eacbook.book.exercises import check_symmetric_matrix


def my_symmetric_matrix(rate, num_classes):
    # <solution>
    matrix = torch.full((num_classes, num_classes), rate / (num_classes - 1))
    return matrix.fill_diagonal_(1 - rate)
    # </solution>


check_symmetric_matrix(my_symmetric_matrix)

# %% [markdown]
# ## Change the noise rate
#
# Move the slider (the arrow keys work too) and watch three things. Faces with a wrong label get a frame. Below one you
# read, for example, *neutral / is fear*: its label is neutral, and its true class is fear. The
# colour leaves the diagonal of the matrix. The count changes. Each rate draws its own wrong labels, so frames
# come and go. **Predict** what each kind of noise will do to the matrix.
#
# Then choose a kind in the list. (You can type its first letter. Two begin with *s*: type it again for the other one.)
#
# * **symmetric**: any other class.
# * **pair**: always the one class that people most often give instead of the true one. For example,
#   *surprise* replaces *fear*.
# * **single people's answers**: drawn from a matrix that was measured on real people. You will read more
#   about it below. People have a fixed error rate, so the slider is hidden there.
#
# Without a running kernel, you see one position of the slider.

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "kinds of noise", guess)

from eacbook.book.widgets import NoiseExplorer

explorer = NoiseExplorer(faces)
explorer.rate.value = 0.3
explorer

# %% [markdown]
# **Predict.** At which rate of *symmetric* noise do the labels say nothing at all? (It is not 100 %. There, a
# label still says what the face is *not*.) And at which rate of *pair* noise do the *faces of one
# class* have a wrong label as often as the right one?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "nothing left", guess)

from eacbook.book.exercises import yours_or_ours
from eacbook.noise.matrices import pair_matrix, symmetric_matrix

matrix_of = yours_or_ours(my_symmetric_matrix, symmetric_matrix, check_symmetric_matrix)
print("symmetric, 6/7:", [round(share, 3) for share in matrix_of(6 / 7, 7)[happy].tolist()])
pair = pair_matrix(1 / 2, 7, classes=faces.classes)
print("pair, 1/2:     ", [round(share, 3) for share in pair[happy].tolist()])
print("symmetric, 50%, happy faces still called happy:", end=" ")
print(f"{eb.inject_noise(labels, 0.5, 7).empirical_matrix[happy, happy]:.0%}")

# %% [markdown]
# At $6/7 \approx 86\,\%$ every row of the symmetric matrix is the same. The given label then has nothing to
# do with the face. Below that rate, the true class stays the most frequent label. Pair noise needs only
# $50\,\%$ to make the wrong class as frequent as the right one. Above that rate, the wrong class wins.
#
# ## The other direction
#
# The matrix says what happens to a true class. A network sees only the *given* labels, and would need the
# opposite. When a face has the label *fear*, how sure can we be?
#
# ### Exercise 2: how far can you trust a label?
#
# Take pair noise of 30 %. Then three classes (happiness, sadness and anger) are taken for *neutral*.
# `pair.counts[i, j]` is the number of faces of true class `i` with the given label `j`. Look at all faces
# with the **given** label *neutral* (number 6). What share of them really is neutral? **Predict** first.
# Among the neutral faces, 70 % kept their label. Is the share that we look for larger or smaller?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "labels of neutral", guess)

from eacbook.book.exercises import check_right_share

pair = eb.inject_noise(labels, rate=0.3, num_classes=7, kind="pair", classes=faces.classes)
neutral = 6
# <solution> share = ...
share = pair.counts[neutral, neutral] / pair.counts[:, neutral].sum()
# </solution>
check_right_share(share, pair, neutral)

# %% [markdown]
# ## How wrong are people?
#
# FERPlus (Barsoum et al., 2016) asked ten people about each of 35,887 photographs. Take the faces on which a
# majority agreed on one of our seven expressions. How often did a *single* person choose a different one of the
# seven? The matrix below shows this for the training faces of FERPlus. It was measured with this book's own command
# (`eacbook prepare ferplus`).
#
# **Predict.** Which row will be the faintest on the diagonal? Will your pair from the beginning be among the
# five most frequent confusions? How many answers in a hundred are wrong, over all faces? (The list in the explorer had this
# matrix already. If you remember it, explain it.)

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "people", guess)

from eacbook.noise.matrices import SINGLE_VOTES

votes = torch.tensor(SINGLE_VOTES)
show(matrix_picture(votes, faces.classes))
pairs = [(votes[i, j].item(), i, j) for i in range(7) for j in range(7) if i != j]
for share, i, j in sorted(pairs, reverse=True)[:5]:
    print(f"{faces.classes[i]} taken for {faces.classes[j]}: {share:.1%}")

# %% [markdown]
# Happiness is safe. Every sixth person takes fear for surprise. Nearly as many take sadness for neutral.
# Every seventh person takes disgust for anger. Over all training faces of FERPlus, 18 answers in a hundred are wrong.
# (The mean over the seven classes would be 24. Frequent classes count more; we come back to this.)
# Real label noise is **not symmetric**. It follows the ambiguity of the faces. The papers use symmetric noise
# because it is simple and everybody can repeat it. People do not err like that. Remember this when you read
# that a method "is robust to 30 % label noise".
#
# Now give our synthetic faces labels from that matrix. **Predict**: will 18 % of them be wrong here, too? (If you remember
# the share from the explorer, explain it instead.)

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("01", "same matrix here", guess)

human = eb.inject_noise(labels, None, 7, kind="matrix", matrix=votes, seed=0)
print(f"{human.rate:.1%} of the labels are wrong")
wrong = human.wrong.nonzero()[:16, 0]
sheet = face_sheet(
    faces.train.images[wrong], human.given[wrong], human.true[wrong], faces.classes, cell=76
)
show(sheet)

# %% [markdown]
# More labels are wrong than on FERPlus, although the matrix is the same. Two thirds of the faces of FERPlus
# are happy or neutral. These are the safest classes. Our classes are equally large. So a noise *rate* alone
# says little.
#
# One thing is still missing. Real people err *more often* on the faint faces. The matrix errs on all faces of
# a class alike. FERPlus itself has ten votes for each face. There, `kind="annotator"` draws one of the votes
# that people really cast. That noise depends on the picture (see `data_scripts/README.md`).
#
# ## Sharing the mistakes
#
# A fair comparison of methods needs the *same* mistakes for all of them. So papers publish their mistakes in
# a file. It has one line for each face, and its labels begin at 1. Write our file and read it back:

# %%
import tempfile
from pathlib import Path

from eacbook.noise.inject import noise_from_file
from eacbook.noise.label_files import write_label_file

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "noise_30.txt"
    write_label_file(path, faces.train.files, noisy.given)
    print(path.read_text().splitlines()[:3])
    again = noise_from_file(path, faces.train.files, labels, 7)
print("the same labels:", bool((again.given == noisy.given).all()))

# %% [markdown]
# ## Quiz

# %%
quiz("01")

# %% [markdown]
# ## Take away
#
# * A **transition matrix** says which true class gets which given label. Its rows sum to one.
# * **Symmetric** noise is the simple choice for experiments. With **pair** noise, the wrong class wins at a
#   lower rate. **People** err where faces are ambiguous: on FERPlus, 18 of 100 answers are wrong.
# * To compare methods, fix the noise: the same rate, the same seed, the same wrong labels.
#
# **Back**: [0 · Primer](00_primer.ipynb). **Next**: [2 · Baseline against EAC](02_baseline_vs_eac.ipynb). You will train a network on these labels. It
# learns the right ones first, and then the wrong ones.
