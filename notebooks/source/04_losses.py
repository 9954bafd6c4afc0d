# %% [markdown]
# # 4 · Losses
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/04_losses.ipynb)
#
# **You will learn** why wrong labels have a large loss early and a small one late. You will find them by
# their loss, and read precision and recall. And you will see what it costs in *small-loss selection* to guess
# the noise rate wrongly.
#
# **You need** [notebook 2](02_baseline_vs_eac.ipynb). **Time**: about 50 minutes of reading and trying. With the
# runs of notebook 2, the computer trains for about half a minute on 2 CPU cores. Without them it trains for a
# little more than 1 minute. (On an H100 it took 59 seconds, while the other notebooks ran too.)

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% tags=["nbval-ignore-output"]
import os

import torch

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import RATE, book_faces, book_run, claim, say
from eacbook.plots.pictures import face_sheet

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
faces = book_faces()

# %% [markdown]
# Here are more of the faces and labels of notebook 2. A frame marks a wrong label. **Predict**: imagine a
# network that has learnt what expressions look like, but remembers no single face. Which of these labels
# would surprise it most? Is every surprising label a wrong one?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "surprising labels", guess)

noisy = eb.inject_noise(faces.train.labels, RATE, 7, seed=0)
some = slice(16, 32)
labels = noisy.given[some], noisy.true[some]
show(face_sheet(faces.train.images[some], *labels, faces.classes, cell=76))

# %% tags=["nbval-ignore-output"]
runs = {
    "baseline": book_run(eb.Baseline(), faces, folder=RUNS),
    "eac": book_run(eb.EAC(), faces, folder=RUNS),
}

# %% [markdown]
# ## The loss of every label, in every epoch
#
# A training computes the loss of every face anyway, once an epoch. So it costs nothing to write it down. The
# hook `SampleLosses` did that in these runs. (It is the loss on the erased, augmented view, just before the
# step. It is not quite the loss of notebook 2's histogram. That one was computed after the training, on the
# stored faces.)

# %%
losses = {name: run.records["sample_losses"] for name, run in runs.items()}
wrong = runs["baseline"].noisy.wrong
print("losses:", tuple(losses["baseline"].shape), "epochs, faces")
print("wrong labels:", int(wrong.sum()))

# %% [markdown]
# A network that knows nothing gives each of the seven classes the probability 1/7. **Predict**: what is the
# loss then, in nats (the unit of a loss with the natural logarithm)? Where will the losses of right and of
# wrong labels lie after 10 epochs, and after 30? Sketch four histograms (two methods, two epochs), each with
# right and wrong labels. Then play the animation.

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "loss of knowing nothing", guess)

import math

print(f"the loss of knowing nothing: {math.log(7):.2f} nats")

# %% tags=["nbval-ignore-output"]
from eacbook.plots.figures import loss_film

loss_film(losses, wrong)

# %% [markdown]
# Press *play*, or move the slider. (It works without running anything. A page that cannot play it shows a row
# of epochs. The axis ends at 40 %, so the
# baseline's bar at 0 is cut off in the last epochs.) Both methods begin alike: all labels are around the loss
# of knowing nothing. The network first learns what faces have in common. Then right and wrong labels
# separate, because the network *expects* another label for the wrong ones. After that, the two methods
# differ. The baseline's wrong labels move to the left, one after the other, until many of them are among the
# right ones. The others are spread over a long tail. Under EAC most wrong labels stay on the right.

# %% tags=["nbval-ignore-output"]
late = {name: kept[-5:].mean(0) for name, kept in losses.items()}
medians = {name: float(loss[wrong].median()) for name, loss in late.items()}
beyond = {name: float((loss[wrong] > loss[~wrong].quantile(0.9)).double().mean()) for name, loss in late.items()}
for name in late:
    say(f"**{name}**, last five epochs: the median loss of the wrong labels is {medians[name]:.1f} nats. {beyond[name]:.0%} of the wrong labels have a larger loss than nine tenths of the right ones.")

# %%
claim("At the end the median loss of the wrong labels is larger under EAC than under the baseline.", medians["eac"] - medians["baseline"], above=0.5)
claim("Under EAC more than half of the wrong labels have a larger loss than nine tenths of the right ones.", beyond["eac"], above=0.5)
claim("Under the baseline fewer wrong labels do.", beyond["baseline"] - beyond["eac"], below=-0.1)

# %% [markdown]
# ## A threshold
#
# Suspect every label whose loss is above a threshold. Two numbers say how good that is. **Precision**: which
# share of the suspected labels is really wrong? (The rest is good data that you would throw away.)
# **Recall**: which share of the wrong labels is suspected? (The rest gets through.)
#
# ### Exercise 1: precision and recall
#
# `suspected` and `wrong` are bool `[N]`. Return both numbers.

# %%
from eacbook.book.exercises import check_precision_and_recall


def my_precision_and_recall(suspected, wrong):
    # <solution>
    found = (suspected & wrong).sum()
    return found / suspected.sum(), found / wrong.sum()
    # </solution>


check_precision_and_recall(my_precision_and_recall)

# %% [markdown]
# Now move the sliders (the arrow keys work). **Predict** first, then try:
#
# 1. In epoch 8: which threshold finds half of the wrong labels? What is its precision?
# 2. Keep that threshold and go to epoch 30. What happens to the recall of each method?
# 3. You can send the suspects to somebody who looks at them again. For which epoch, threshold and method
#    would *you* do it?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "sliders", guess)

from eacbook.book.widgets import LossExplorer

explorer = LossExplorer(runs)
explorer

# %%
before = explorer.picture.value
explorer.epoch.value, explorer.threshold.value = 10, 1.5
assert explorer.picture.value != before and "labels suspected" in explorer.numbers.value
explorer.epoch.value, explorer.threshold.value = explorer.epoch.max, 2.0
assert explorer.picture.value == before, "it is again as you saw it"
print("The explorer follows its controls.")

# %% [markdown]
# **Predict** the answers in numbers, then let the next cell count. It takes the baseline's losses in epoch 8,
# and the threshold that finds half of the wrong labels.

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "half of them", guess)

from eacbook.book.exercises import yours_or_ours
from eacbook.evaluation.evaluate import precision_and_recall

both_of = yours_or_ours(my_precision_and_recall, precision_and_recall, check_precision_and_recall)


def by_loss(name, epoch, threshold):
    """Precision and recall of the labels with a larger loss than the threshold in an epoch."""
    return [float(share) for share in both_of(losses[name][epoch - 1] > threshold, wrong)]


half = float(losses["baseline"][7][wrong].median())
early = by_loss("baseline", 8, half)
in_30 = {name: by_loss(name, 30, half) for name in losses}
say(f"In epoch 8 a threshold of {half:.1f} nats finds {early[1]:.0%} of the wrong labels, with a precision of {early[0]:.0%}.")
say(f"In epoch 30 the same threshold finds {in_30['baseline'][1]:.0%} of them for the baseline and {in_30['eac'][1]:.0%} for EAC.")
say(f"Its precision is then {in_30['baseline'][0]:.0%} and {in_30['eac'][0]:.0%}.")

# %%
claim("In epoch 8 more than half of the suspects are really wrong.", early[0], above=0.5)
claim("In epoch 30 the same threshold finds fewer wrong labels for the baseline.", in_30["baseline"][1], below=0.3)
claim("For EAC it finds more of them than for the baseline.", in_30["eac"][1] - in_30["baseline"][1], above=0.1)

# %% [markdown]
# But you must choose a threshold. One number needs none. Draw a wrong and a right label at random. How often
# does the wrong one have the larger loss? (This is the *area under the ROC curve*: 50 % is chance.)
# **Predict** its course over the epochs for both methods. When is the baseline at its best?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "area", guess)

from sklearn.metrics import roc_auc_score

from eacbook.plots.figures import epoch_curves


def detection(run):
    wrong = run.noisy.wrong
    return torch.tensor([roc_auc_score(wrong, kept) for kept in run.records["sample_losses"]])


areas = {name: detection(run)[None] for name, run in runs.items()}
epoch_curves({"one seed": areas}, "wrong label has the larger loss", level=("chance", 0.5))

# %%
at_the_end = {name: float(values[0, -1]) for name, values in areas.items()}
claim("At the end EAC's losses separate wrong labels from right ones better than the baseline's.", at_the_end["eac"] - at_the_end["baseline"], above=0.05)
forgotten = areas["baseline"][0].max() - at_the_end["baseline"]
claim("The baseline's losses did this better earlier in the training.", forgotten, above=0.05)

# %% [markdown]
# ## Small-loss selection
#
# If wrong labels have large losses, train on the labels with *small* ones. That is small-loss selection.
# MentorNet (Jiang et al., ICML 2018) uses it. So does Co-teaching (Han et al., NeurIPS 2018), where two
# networks select for each other. Here we use its simplest form. Train for a while, and keep the part of the
# labels with the smallest losses. Then train a new network on those alone. The selection needs to know *how
# many* labels are wrong. With real data nobody knows that.
#
# ### Exercise 2: what is kept
#
# Write the selection. The input is the losses `[N]` and the assumed share of wrong labels. The result is the
# rows (a tensor of numbers, not a mask) of the labels that are *kept*.

# %%
from eacbook.book.exercises import check_kept_by_loss


def my_kept_by_loss(losses, assumed_rate):
    # <solution>
    return losses.argsort()[: round(len(losses) * (1 - assumed_rate))]
    # </solution>


check_kept_by_loss(my_kept_by_loss)

# %% [markdown]
# We select by the baseline's losses in epoch 10. By then it has learnt, but not yet memorised. In fact 30 %
# of the labels are wrong. **Predict** for an assumed rate of 10, 30 and 50 %: which share of the kept labels
# is still wrong? And which of the three networks will recognise the test faces best?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "assumed rates", guess)

from eacbook.experiments.runs import find_or_train

noisy = runs["baseline"].noisy


def our_kept_by_loss(losses, assumed_rate):
    return losses.argsort()[: round(len(losses) * (1 - assumed_rate))]


kept_by_loss = yours_or_ours(my_kept_by_loss, our_kept_by_loss, check_kept_by_loss)


def kept_rows(assumed_rate, epoch=10):
    """Rows of the labels with the smallest losses in an epoch of the baseline."""
    return kept_by_loss(losses["baseline"][epoch - 1], assumed_rate).sort().values


def train_on(kept):
    """A new baseline, trained on these labels alone."""
    network = eb.build_network("tiny", num_classes=7)
    some = faces.only(kept), noisy.take(kept)
    return find_or_train(eb.Baseline(), network, *some, folder=RUNS, hooks=[eb.Progress()])


RATES = (0.1, 0.3, 0.5)
selected = {f"assumed rate {rate:.0%}": train_on(kept_rows(rate)) for rate in RATES}

# %% tags=["nbval-ignore-output"]
import pandas as pd


def row(run):
    """How many labels a run was given, how many of them wrong, and what came out."""
    wrong, accuracy = run.noisy.wrong, run.summary["test_accuracy"]
    return {"labels": len(wrong), "of them wrong": f"{wrong.double().mean():.1%}", "test": f"{accuracy:.1%}"}


pd.DataFrame({name: row(run) for name, run in (selected | runs).items()}).T

# %%
wrong_share = [float(noisy.wrong[kept_rows(rate)].double().mean()) for rate in RATES]
cleaner = min(RATE - wrong_share[0], wrong_share[0] - wrong_share[1], wrong_share[1] - wrong_share[2])
claim("The more labels are thrown away, the cleaner is the rest.", cleaner, above=0)
worst = min(run.summary["test_accuracy"] for run in selected.values())
claim(
    "Each of the three selections recognises more test faces than the baseline on all labels.",
    worst - runs["baseline"].summary["test_accuracy"],
    above=0,
)

# %% [markdown]
# Guess too low (10 %), and many of the kept labels are still wrong. Guess too high (50 %), and you throw away
# good faces, too. This is one seed, so read differences of a few points with care. Which faces are thrown
# away? **Predict**: do all classes lose the same share?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("04", "classes thrown away", guess)

gone = torch.ones(1500, dtype=torch.bool)
gone[kept_rows(0.5)] = False
lost = {}
for label, name in enumerate(faces.classes):
    right = (noisy.true == label) & ~noisy.wrong
    lost[name] = float(gone[right].double().mean())
    print(f"{name:10} {lost[name]:4.0%} of the right labels thrown away")
test = {name: run.summary["test_accuracy"] for name, run in (selected | runs).items()}
say(f"The selection at the true rate recognises {test['assumed rate 30%']:.0%} of the test faces, EAC {test['eac']:.0%}.")

# %%
claim("The classes do not lose the same share.", max(lost.values()) - min(lost.values()), above=0.2)

# %% [markdown]
# The selection throws away what is hard to recognise. So the new network learns from what the first one
# already knew.
#
# And EAC? Compare the two numbers above, but do not rank the methods by them. With another seed, EAC can be
# several points higher or lower (notebook 2). Notebook 7 compares over seeds. The selection knew two things
# that nobody knows about real data. The first is the number of wrong labels. The second is an epoch in which
# little is memorised: we had seen the true curves in notebook 2. EAC knew neither of them, and threw nothing
# away. It cost time, and it needed a weight that somebody had to choose. Try `kept_rows(0.3, epoch=30)`.
# **Predict** first: what is the selection worth if the network has memorised?
#
# Co-teaching selects anew in every batch. Two networks choose for each other, so that one does not confirm
# its own mistakes. It needs to know the rate, too.
#
# ## Quiz

# %%
quiz("04")

# %% [markdown]
# ## Take away
#
# * Early in the training, a **large loss** means "this label fits nothing else I know". Once a network
#   memorises, a large loss means much less.
# * **Precision and recall** of "this label is wrong" depend on the epoch as much as on the threshold.
# * **Small-loss selection** works here if it selects in time. EAC needs to know neither the rate nor the
#   epoch. One seed cannot say which of the two is better.
#
# **Back**: [3 · Attention](03_attention.ipynb). **Next**: [5 · Features](05_features.ipynb) shows where wrong
# labels lie among their neighbours.
