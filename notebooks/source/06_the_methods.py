# %% [markdown]
# # 6 · The methods
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/06_the_methods.ipynb)
#
# **You will learn** four answers to one question: *which labels should I not believe?* You will also meet one
# method that does not ask this question, and two later ones that need no noise rate. An ablation shows which
# part of EAC does the work. You will see what each method assumes, what it costs, and where it
# fails.
#
# **You need** notebooks [2](02_baseline_vs_eac.ipynb) and [4](04_losses.ipynb). **Time**: about 90 minutes of
# reading and trying. With the runs of notebook 2, the computer trains for about 5 minutes on 2 CPU cores.
# Without them, it trains for 6 minutes.

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% tags=["nbval-ignore-output"]
import os

import pandas as pd
import torch
from IPython.display import display

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import RATE, book_faces, book_run, claim, say
from eacbook.plots.pictures import face_sheet

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
faces = book_faces()
noisy = eb.inject_noise(faces.train.labels, RATE, 7)
labels = noisy.given[:16], noisy.true[:16]
show(face_sheet(faces.train.images[:16], *labels, faces.classes, cell=76))

# %% [markdown]
# ## Five methods
#
# | | its idea | what it must be told | its price |
# |---|---|---|---|
# | **baseline** | believe every label | nothing | 1 pass a step |
# | **Co-teaching** (Han et al., NeurIPS 2018) | two networks; each learns from the labels that cost the *other* one least | **the noise rate** | 2 networks, 2 passes |
# | **scn**: Self-Cure Network (Wang et al., CVPR 2020) | learn a weight for every sample, keep the weights apart, *change* labels that fit badly | margins, and when to begin to change labels | 1 pass, one small layer |
# | **rul**: Relative Uncertainty Learning (Zhang, Wang and Deng, NeurIPS 2021) | mix two faces; which one needs the larger share to be recognised is the uncertain one | nothing | 1 pass, a larger head |
# | **eac**: Erasing Attention Consistency (Zhang et al., ECCV 2022) | look at the same places of a face and of its mirror image | a weight, for the network | 2 passes |
#
# Each method is one short file in `eacbook/methods/`. The file holds its equations and says what the
# published code does differently. All methods see the same batches: the same faces in the same order, the
# same camera noise, the same erased rectangles.

# %%
methods = {
    "baseline": eb.Baseline(),
    "coteaching": eb.CoTeaching(noise_rate=RATE),
    "scn": eb.SCN(),
    "rul": eb.RUL(),
    "eac": eb.EAC(),
}
for method in methods.values():
    print(method)

# %% [markdown]
# (`weight=None`: EAC takes the weight of the network, which is 1.5 for ours.) Here Co-teaching (`coteaching`)
# knows the true rate: 30 %. On real data, nobody knows it. Notebook 4 selected labels in two stages and
# showed what a wrong guess costs. We come back to this below.
#
# ### Co-teaching: exchange
#
# Notebook 4 selected labels once. Co-teaching selects anew in every batch. Over the first ten epochs, it
# becomes more and more strict. Its trick is the exchange. **Predict**: suppose that a network learns only
# from the labels that have the smallest loss in this *same* network. What happens to a wrong label that it
# has begun to believe?
#
# ### Exercise 1: exchange
#
# You get the losses of one network and of the other network for the same batch, `[B]` each. You also get the
# number of labels to keep. Return the rows from which the first network learns, and the rows from which the
# other one learns.

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "own choice", guess)

from eacbook.book.exercises import check_exchange


def my_exchange(losses_of_one, losses_of_other, count):
    # <solution>
    return losses_of_other.argsort()[:count], losses_of_one.argsort()[:count]
    # </solution>


check_exchange(my_exchange)

# %% [markdown]
# ### SCN: weigh, rank, relabel
#
# A small layer reads an *importance* $\alpha$ between 0 and 1 from the features of each face. It multiplies
# the logits of the face by $\alpha$. With a small $\alpha$, the network cannot fit any label firmly. What
# keeps the network from making all $\alpha$ large? The *rank regularisation*: in a batch, the 70 % largest
# must lie at least 0.15 above the others, on average. From epoch 10 on, SCN may change the label of a sample
# of the low group. The sample gets the label that the network predicts, if this label is likelier than the
# given one by more than a margin of 0.2.
#
# ### Exercise 2: the relabelling
#
# You get probabilities `[B, K]`, the labels so far `[B]`, a mask of the low group (bool `[B]`) and the
# margin. Return the labels for the next steps.

# %%
from eacbook.book.exercises import check_relabel


def my_relabel(probabilities, labels, low, margin):
    # <solution>
    highest, predicted = probabilities.max(1)
    of_label = probabilities.gather(1, labels[:, None]).squeeze(1)
    return torch.where(low & (highest - of_label > margin), predicted, labels)
    # </solution>


check_relabel(my_relabel)

# %% [markdown]
# ### RUL: mix
#
# Two branches read the features $\mu$ and an uncertainty $s$. RUL pairs the faces of a batch at random and
# mixes each pair to $(s_i\mu_i + s_j\mu_j)/(s_i + s_j)$. The network must recognise the mixture as *both*
# faces. If face $i$ is harder, it needs more of the mixture, so its $s_i$ grows. The network never sees a
# pure feature with its label. To fit one wrong label exactly is expensive, because the network must recognise
# it in every mixture.
#
# ## All five on the same wrong labels
#
# **Predict** before you train. Which of the five recognises the test faces best? Which memorises the fewest
# wrong labels? Are these the same? And which takes longest for an epoch?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "five methods", guess)

runs = {name: book_run(method, faces, folder=RUNS) for name, method in methods.items()}

# %% tags=["nbval-ignore-output"]
from eacbook.plots.figures import training_curves
from eacbook.experiments.runs import summary_table

table = summary_table(runs)
table["seconds an epoch"] = [f"{run.summary['seconds'] / run.summary['epochs']:.2f}" for run in runs.values()]
display(table.drop(columns="seconds"))
training_curves(runs)

# %%
accuracy = {name: run.summary["test_accuracy"] for name, run in runs.items()}
memorised = {name: run.summary["memorised"] for name, run in runs.items()}
others = [name for name in runs if name != "baseline"]
claim(
    "The baseline memorises the most wrong labels.",
    memorised["baseline"] - max(memorised[name] for name in others),
    above=0.1,
)
claim(
    "Co-teaching, which knows the true rate, recognises more test faces than the baseline.",
    accuracy["coteaching"] - accuracy["baseline"],
    above=0.05,
)
claim(
    "SCN memorises much less than the baseline.",
    memorised["scn"] / memorised["baseline"],
    below=0.75,
)
claim("But SCN recognises fewer test faces than the baseline.", accuracy["scn"] - accuracy["baseline"], below=0)

# %% [markdown]
# The order of the methods by test accuracy is not their order by memorised labels. In the saved run, RUL
# recognises more test faces than EAC, and memorises twice as many wrong labels. SCN is an example on every
# processor: *not memorising* and *learning* are two things. (One seed ranks no method. In notebook 2, the
# seeds of EAC alone lie several points apart. Notebook 7 has five seeds for all, and twice the faces.)
#
# Co-teaching needs two passes a step for its second network, and EAC for the mirrored view. This costs about
# twice the baseline's time on a machine that does nothing else. SCN costs little more than the baseline. RUL,
# with its larger classifier, costs a little more than SCN. (The machine of the saved run did other work, too,
# so its seconds say nothing.)
#
# ## A score for every label
#
# Each method gives a score to every sample, and the hook `SampleLosses` recorded it. The score is the loss
# (baseline, Co-teaching, EAC), minus the importance (SCN), or the uncertainty (RUL). As in notebook 4, we
# draw a wrong and a right label at random. How often does the wrong label have the higher score? **Predict**
# for each of the five, at the end of training. And think twice about RUL: does its uncertainty see the
# *label* of a face at all?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "scores", guess)

from sklearn.metrics import roc_auc_score

from eacbook.plots.figures import epoch_curves

WORDS = {"scn": ("sample_importance", -1), "rul": ("sample_uncertainty", 1)}


def suspicion(name):
    """The score of every sample by a method, ``[epochs, N]``; a higher score is more doubtful."""
    word, sign = WORDS.get(name, ("sample_losses", 1))
    return sign * runs[name].records[word]


def detection(name):
    """How often the wrong one of a wrong and a right label has the higher score, ``[1, epochs]``."""
    return torch.tensor([[roc_auc_score(noisy.wrong, of_epoch) for of_epoch in suspicion(name)]])


areas = {name: detection(name) for name in runs}
epoch_curves({"one seed": areas}, "wrong label is more doubtful", level=("chance", 0.5))

# %%
at_the_end = {name: float(values[0, -1]) for name, values in areas.items()}
claim(
    "At the end, the losses of Co-teaching and of EAC find wrong labels better than the baseline's losses.",
    min(at_the_end["coteaching"], at_the_end["eac"]) - at_the_end["baseline"],
    above=0.05,
)
claim(
    "SCN's importance and RUL's uncertainty find them worse than the baseline's losses.",
    max(at_the_end["scn"], at_the_end["rul"]) - at_the_end["baseline"],
    below=-0.05,
)

# %% [markdown]
# SCN's importance and RUL's uncertainty are hardly better than chance. The network computes both from the
# *face* alone. We drew the wrong labels at random, so no face looks like a face with a wrong label. What can
# these scores learn? They can learn which faces are hard. Once the network memorises, they may also learn a
# little about the faces that it memorised.
#
# Look at the eight samples that each of four methods doubts most in epoch 20. A frame marks a wrong label,
# with the true label below. **Predict**: which of the four find wrong labels, and which find something else?
# And how many of the first hundred labels are wrong? By chance, it would be 30.

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "first hundred", guess)


def most_common(labels):
    """The three most frequent classes among some labels, and how often they occur."""
    counts = labels.bincount(minlength=7)
    return ", ".join(f"{faces.classes[label]} ({counts[label]})" for label in counts.argsort(descending=True)[:3])


hundred = {}
for name in ("coteaching", "scn", "rul", "eac"):
    doubted = suspicion(name)[19].topk(100).indices
    hundred[name] = int(noisy.wrong[doubted].sum())
    say(f"**{name}**: of the first hundred labels, {hundred[name]} are wrong. The most frequent true labels are {most_common(noisy.true[doubted])}.")
    labels = noisy.given[doubted[:8]], noisy.true[doubted[:8]]
    show(face_sheet(faces.train.images[doubted[:8]], *labels, faces.classes))

# %%
claim("For Co-teaching and EAC, at least nine in ten of these labels are wrong.", min(hundred["coteaching"], hundred["eac"]), above=89)
claim("For SCN and RUL, at most six in ten of them are wrong.", max(hundred["scn"], hundred["rul"]), below=61)

# %% [markdown]
# SCN and RUL doubt *hard faces*, whatever their label is. In the saved run, SCN doubts knitted brows: anger,
# disgust and sadness. On real data, people give a wrong label *because* a face is hard. There, a doubt about
# the face would be a doubt about the label as well. With symmetric noise it is not.
#
# ## The labels that SCN changes
#
# SCN is the only method that changes labels. The labels are part of the run: `run.records["labels"]` holds
# all of them for every epoch, a checkpoint keeps them, and the history counts them. **Predict**: of 100
# labels that SCN changed, how many are right now? And suppose that it changed a right label. What does this
# do to the network in the next epoch?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "changed labels", guess)

history = runs["scn"].history
history.loc[[9, 10, 12, 15, 20, 25, 30], ["relabelled", "relabelled_rightly", "test_accuracy"]].round(3)

# %%
labels = runs["scn"].records["labels"].long()  # [epochs, N]
assert torch.equal(labels[8], noisy.given), "nothing changes before epoch 10"
changed = labels[-1] != noisy.given
first = labels[9] != noisy.given
claim("Most of the labels that SCN changed in epoch 10 were wrong.", noisy.wrong[first].double().mean(), above=0.5)
claim("But SCN also changed labels that were right.", (changed & ~noisy.wrong).sum(), above=0)
into = labels[-1][changed].bincount(minlength=7).sort().values
claim("At the end, most of the changed labels name one of two classes.", into[-2:].sum() / into.sum(), above=0.7)
now_right = (labels == noisy.true).double().mean(1)
claim("At the end, fewer labels are right than at the start.", now_right[-1], below=1 - RATE)

# %% tags=["nbval-ignore-output"]
rightly = (labels[-1] == noisy.true)[changed].double().mean()
say(f"At the end, {int(changed.sum())} labels are changed, and {rightly:.0%} of these are right. Their most frequent classes are now {most_common(labels[-1][changed])}.")
say(f"Of all labels, {now_right[-1]:.0%} are right. Of the given labels, {1 - RATE:.0%} were right.")
epoch_curves({"scn": {"labels that are right": now_right[None]}}, "share of the labels", level=("as given", 1 - RATE))

# %% [markdown]
# The first changes may help. But at that time, in the saved run, the network recognises only a little more
# than half of the test faces. SCN goes on. If it changes a right label, this label teaches the network the next mistake. So
# one mistake leads to more of the same kind: whatever a face shows, it gets one of two labels. With such
# labels, it is no wonder that SCN ends below the baseline.
#
# Is the idea wrong, or only the moment? The table shows the test accuracy, and how many of the changed labels
# are right. It has twice the faces, 10 % wrong labels and seeds 0, 1 and 2
# (`eacbook table --methods baseline scn scn:relabel_epoch=20 scn:relabel_epoch=31 --noise 0.1`):
#
# | | test accuracy | changed rightly |
# |---|---|---|
# | baseline | 89.2 ± 0.5 % | |
# | SCN, changes labels from epoch 10 (the paper's number) | 79.3 ± 5.6 % | 12 to 23 % |
# | from epoch 20 | 90.2 ± 0.9 % | 40 to 51 % |
# | never (30 epochs are all) | 90.4 ± 0.7 % | |
#
# So it is the moment. The paper trains for 70 epochs and starts from weights that were trained on faces. Its
# network is good in epoch 10. Ours begins with random weights, and in epoch 10 of 30 its learning rate is at
# its highest. A number that is good for one set-up need not be good for another.
#
# ## A wrong guess of the rate
#
# **Predict**: Co-teaching gets a rate of 10 % or 50 %, but 30 % of the labels are wrong. Which mistake costs
# more?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "wrong rate", guess)

guesses = {
    f"Co-teaching, rate {rate:.0%}": book_run(eb.CoTeaching(noise_rate=rate), faces, folder=RUNS)
    for rate in (0.1, RATE, 0.5)
}
told = pd.DataFrame({name: run.summary for name, run in guesses.items()}).T
told["selected_right"] = [run.rows[-1]["selected_right"] for run in guesses.values()]
told[["test_accuracy", "memorised", "recovered", "selected_right"]].map("{:.1%}".format)

# %%
few, right, many = (told.loc[f"Co-teaching, rate {rate:.0%}"] for rate in (0.1, RATE, 0.5))
claim("With too low a rate, Co-teaching keeps wrong labels and memorises more of them.", few["memorised"] - right["memorised"], above=0.1)
claim("With too high a rate, more of the labels that it keeps are right.", many["selected_right"] - right["selected_right"], above=0)
claim("With the true rate, it recognises the most test faces.", right["test_accuracy"] - max(few["test_accuracy"], many["test_accuracy"]), above=0)

# %% [markdown]
# With too low a rate, Co-teaching keeps many wrong labels. With too high a rate, it does not learn from the
# faces that it finds hardest. Which mistake costs more? One seed does not say. (Compare this with the
# selection in two stages in notebook 4.)
#
# ## Two later methods, which are told nothing
#
# Both build on what you saw in notebook 2: early in a training, a network is right more often than its labels.
#
# * **ELR** (Early-Learning Regularization; Liu et al., NeurIPS 2020) *remembers*. For each face it keeps a
#   running mean of its own predictions. A second term in the loss holds the prediction to this memory. A
#   wrong label that comes late cannot pull it away. The price is a memory of K numbers for each face.
# * **ReSup** (Zhang et al., 2023) *weighs*. Two networks see the same view, as in Co-teaching, but nobody tells
#   them how many labels to keep. After each epoch, each network divides the labels into two groups, by how well
#   they fit its predictions: it fits a mixture of two Beta distributions. The weight of a label is the
#   probability of the better group, and the *other* network learns with this weight.
#
# **Predict**: can a method that knows no rate come near Co-teaching, which knows it?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "later methods", guess)

later = {name: book_run(method, faces, folder=RUNS) for name, method in {"elr": eb.ELR(), "resup": eb.ReSup()}.items()}
beside = {name: runs[name] for name in ("baseline", "coteaching", "eac")} | later
display(summary_table(beside).drop(columns="seconds"))
training_curves(beside)

# %%
ends = {name: (run.summary["test_accuracy"], run.summary["memorised"]) for name, run in beside.items()}
claim("Both recognise more test faces than the baseline.", min(ends["elr"][0], ends["resup"][0]) - ends["baseline"][0], above=0.03)
claim("Both memorise much less.", ends["baseline"][1] - max(ends["elr"][1], ends["resup"][1]), above=0.3)

# %% [markdown]
# One seed ranks no method. But each of the three is ahead of the baseline, and none of them was told a rate.
#
# ## What does the work? An ablation
#
# EAC has several parts: erasing, two views, a label on one of them only, the consistency term. Which part does
# the work? An **ablation** answers this. It changes or removes *one* part and keeps everything else: the same
# faces, wrong labels, initial weights and batches. Then the difference comes from this part alone. (The word
# is from medicine: to remove tissue.) The numbers below are stored. They have 1,500 faces, 30 % wrong labels
# and seeds 0, 1 and 2, from `eacbook table --limit 1500 --noise 0.3 --methods` with one method a row, such as
# `eac:erasing=false`. (These 1,500 are a sample of the 3,000 faces of the next notebook. The table
# above has other faces, so its numbers are others, too.)
#
# **Predict**, before you run the cell. Which change costs most? And is there a part without which EAC is better?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "ablation", guess)

# <!-- filled: ablation -->
ABLATION = {
    "EAC, whole": ([79.8, 78.6, 79.0], 19),
    "without erasing": ([72.5, 69.8, 72.2], 65),
    "labels on both views": ([80.8, 79.3, 80.8], 14),
    "one pass for both views": ([79.0, 77.7, 80.0], 18),
    "the same rectangle erased in both views": ([75.4, 75.5, 74.7], 34),
    "weight 0: no consistency": ([63.7, 57.6, 56.4], 100),
    "weight 7.5: five times ours": ([67.9, 61.4, 59.4], 9),
    "baseline": ([69.6, 65.4, 64.1], 78),
}
# <!-- end -->
pd.DataFrame({
    name: {"test accuracy": f"{pd.Series(each).mean():.1f} ± {pd.Series(each).std():.1f} %", "memorised": f"{memorised} %"}
    for name, (each, memorised) in ABLATION.items()
}).T

# %% tags=["nbval-ignore-output"]
import plotly.graph_objects as go

from eacbook.plots import palette
from eacbook.plots.figures import HEIGHT, TEMPLATE

figure = go.Figure()
for name, (each, _) in reversed(ABLATION.items()):
    colour = palette.METHODS["baseline" if name == "baseline" else "eac"]
    figure.add_scatter(x=each, y=[name] * 3, mode="markers", marker={"size": 13, "opacity": 0.8, "color": colour}, name=name)
figure.add_vline(sum(ABLATION["EAC, whole"][0]) / 3, line={"color": palette.INK, "dash": "dash"})
figure.update_xaxes(title="test accuracy of each seed, in percent")
figure.update_layout(template=TEMPLATE, height=HEIGHT, showlegend=False)

# %% [markdown]
# Four things to see:
#
# * **The consistency is not enough.** Without erasing, EAC memorises about two thirds of the wrong labels. If nothing is erased, both views show the same details, and agreeing about them is easy. The same
#   holds in part if both views lose the *same* rectangle.
# * **Erasing is not enough.** With weight 0, everything is memorised. (There, the network sees no mirrored
#   face either. So it memorises even more than the baseline, which mirrors half of them.)
# * **The weight matters in both directions.** Five times our weight memorises least, and it recognises fewer faces than the baseline: the
#   constraint leaves no room to learn.
# * **A surprise.** Labels on both views are better than the paper's imbalanced framework, with every seed. The
#   paper says that the label must stay away from the second view. For this network and these faces that is
#   not so. One pass instead of two makes no visible difference.
#
# Does this hold for photographs, and for a network that knows faces? Here is the same with 1,200 faces of FERPlus,
# 30 % wrong labels, dlib's network and 12 epochs on a laptop (see notebook 8). `benchmarks/README.md` has the command.
# A number without a spread is from seed 0 alone. The others are from three seeds.
#
# <!-- filled: ablation on photographs -->
# | wrong labels | 30 %: accuracy | memorised |
# |---|---|---|
# | EAC, whole | **64.6 ± 0.7** | 20.1 ± 3.1 |
# | without erasing | 63.5 ± 0.9 | 34.3 ± 4.5 |
# | labels on both views | 64.0 ± 0.8 | 16.2 ± 2.1 |
# | weight 0: no consistency | 51.2 | 99.2 |
# | weight 25: five times this network's | 45.7 | **9.4** |
# | baseline | 57.7 ± 1.5 | 55.5 ± 3.1 |
# <!-- end -->
#
# Two things are as above. Without the consistency nearly everything is memorised, and with too large a weight the
# network does not learn. Two things differ on these faces of FERPlus. Erasing matters less: without it EAC memorises
# more wrong labels with every seed, but it loses only about one point of accuracy. (In *mean class* accuracy it is then
# even ahead with every seed, 41.4 ± 0.8 % against 38.9 ± 1.5 %. After 12 epochs, erasing may still cost the
# rare classes.) And labels on both views are no surprise here: they are ahead with one seed of three. So what helps depends
# on the faces, the network and the length of the training.
#
# And what does it cost if *no* label is wrong? (`eacbook table --noise 0`: 3,000 faces, three seeds.)
#
# <!-- filled: clean labels -->
# | | accuracy with clean labels |
# |---|---|
# | baseline | 95.7 ± 0.6 |
# | Co-teaching (knows the true rate) | 95.7 ± 0.6 |
# | SCN | 89.2 ± 3.3 |
# | RUL | 96.5 ± 0.4 |
# | ELR | 95.1 ± 0.3 |
# | ReSup | 94.4 ± 0.8 |
# | EAC | 94.0 ± 0.6 |
# <!-- end -->
#
# EAC and ReSup pay one to two points for a protection that nobody needed. SCN pays more, and ELR less than one.
# (Co-teaching with rate 0 keeps every label, so its first network is the baseline.) RUL gains: to mix faces
# helps here, whatever the labels are.
#
# ## Where each of them fails
#
# 30 % symmetric noise is one point of a wide field. The next figure shows all methods at other rates, and with
# two other kinds of wrong labels:
#
# * *symmetric*: 3,000 faces, 0 to 60 % wrong labels (10 to 30 %: five seeds; others: three);
# * *pair*: 1,500 faces, two seeds. A wrong label is always the class that people most often take it for;
# * *annotators*: 1,500 *real* faces of FERPlus, three seeds. Each face has the answer of one of its ten
#   annotators. About 17 % of these answers are not the majority's.
#
# To train all this takes many times as long as this notebook should take, so the numbers are stored.
# `benchmarks/README.md` has the commands.
#
# **Predict** first. Which method suffers most when most labels are wrong? And which one suffers most when the
# mistakes agree with each other?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("06", "where each fails", guess)

# %% tags=["nbval-ignore-output"]
from eacbook.plots.figures import rate_curves

# <!-- filled: rates -->
RATES = {
    "symmetric": {
        "baseline": {0: (95.7, 0.6), 10: (89.6, 0.8), 20: (84.5, 0.9), 30: (77.4, 1.5), 40: (70.2, 0.4), 60: (47.3, 1.1)},
        "coteaching": {0: (95.7, 0.6), 10: (93.4, 0.2), 20: (92.7, 0.5), 30: (89.7, 1.3), 40: (86.1, 0.9), 60: (67.6, 2.0)},
        "scn": {0: (89.2, 3.3), 10: (81.4, 3.8), 20: (75.5, 4.7), 30: (71.1, 4.0), 40: (66.3, 4.0), 60: (50.4, 2.5)},
        "rul": {0: (96.5, 0.4), 10: (94.0, 0.9), 20: (89.8, 0.8), 30: (83.9, 1.5), 40: (77.7, 1.2), 60: (56.5, 2.7)},
        "elr": {0: (95.1, 0.3), 10: (92.4, 1.3), 20: (90.8, 1.3), 30: (88.3, 2.0), 40: (84.6, 0.7), 60: (69.2, 1.8)},
        "resup": {0: (94.4, 0.8), 10: (93.5, 0.6), 20: (91.9, 0.8), 30: (90.1, 1.4), 40: (87.2, 0.4), 60: (69.9, 1.9)},
        "eac": {0: (94.0, 0.6), 10: (92.5, 0.8), 20: (90.8, 1.2), 30: (88.7, 2.0), 40: (84.6, 1.7), 60: (64.3, 0.4)},
    },
    "pair": {
        "baseline": {20: (76.5, 0.5), 40: (60.0, 0.5)},
        "coteaching": {20: (81.0, 0.7), 40: (51.1, 5.2)},
        "scn": {20: (61.3, 3.4), 40: (47.8, 3.9)},
        "rul": {20: (80.6, 2.3), 40: (66.7, 3.1)},
        "elr": {20: (78.1, 5.9), 40: (47.2, 7.6)},
        "resup": {20: (80.0, 1.4), 40: (56.2, 7.3)},
        "eac": {20: (78.9, 2.0), 40: (60.0, 1.2)},
    },
    "annotators": {
        "baseline": {17: (56.2, 1.7)},
        "coteaching": {17: (59.1, 0.6)},
        "scn": {17: (47.0, 0.0)},
        "rul": {17: (55.9, 0.4)},
        "elr": {17: (56.8, 1.8)},
        "resup": {17: (56.9, 1.6)},
        "eac": {17: (57.6, 1.1)},
    },
}
# <!-- end -->
rate_curves(RATES)

# %% [markdown]
# A point is the mean over the seeds, and its line is the standard deviation. The same for some points in
# numbers, with the share of the wrong labels that is memorised:
#
# <!-- filled: where each fails -->
# | wrong labels | 60 % symmetric: accuracy | memorised | 40 % pair: accuracy | memorised | FERPlus, one annotator: accuracy | memorised |
# |---|---|---|---|---|---|---|
# | baseline | 47.3 ± 1.1 | 55.0 ± 6.1 | 60.0 ± 0.5 | 80.1 ± 2.0 | 56.2 ± 1.7 | 87.7 ± 3.6 |
# | Co-teaching (knows the true rate) | 67.6 ± 2.0 | **11.1 ± 0.7** | 51.1 ± 5.2 | 52.5 ± 4.0 | **59.1 ± 0.6** | 58.4 ± 3.4 |
# | SCN | 50.4 ± 2.5 | 13.3 ± 3.2 | 47.8 ± 3.9 | **42.2 ± 13.4** | 47.0 ± 0.0 | 41.5 ± 6.6 |
# | RUL | 56.5 ± 2.7 | 18.9 ± 5.2 | **66.7 ± 3.1** | 68.5 ± 4.7 | 55.9 ± 0.4 | 70.3 ± 5.2 |
# | ELR | 69.2 ± 1.8 | 17.8 ± 1.3 | 47.2 ± 7.6 | 54.6 ± 10.0 | 56.8 ± 1.8 | 36.3 ± 3.0 |
# | ReSup | **69.9 ± 1.9** | 14.1 ± 1.4 | 56.2 ± 7.3 | 49.8 ± 10.3 | 56.9 ± 1.6 | **35.1 ± 3.4** |
# | EAC | 64.3 ± 0.4 | 17.1 ± 1.8 | 60.0 ± 1.2 | 50.8 ± 4.2 | 57.6 ± 1.1 | 44.7 ± 2.0 |
# <!-- end -->
#
# * **Too high a rate.** Up to 30 %, four methods stay close together. At 60 % they part. The baseline recognises
#   fewer than half of the test faces. ReSup, ELR and Co-teaching lose least, then comes EAC. ReSup is ahead of
#   EAC with each of the three seeds, at 40 and at 60 %, and nobody told it the rate. RUL, best at 10 %, is far
#   behind these four: with so many wrong labels, most of its mixtures have one. SCN, which changes labels by its
#   own predictions, ends near the baseline.
# * **Pair noise.** The mistakes are a *rule*: four in ten faces with surprise get the label fear, always fear.
#   The network learns this rule early, like any other. So all methods that trust the *early* network are
#   deceived. The labels that Co-teaching keeps are hardly better than the given ones: 62 to 65 % are right
#   instead of 60 (`benchmarks/results/table_pair.csv`). ELR remembers the rule, ReSup gives it weight, and SCN
#   relabels by it. At 40 % all four end below the baseline. EAC is no better than the baseline there, although
#   it memorises much less. RUL is ahead: it neither chooses nor remembers. At 20 %, where most labels of each
#   class are right by far, all but SCN gain 2 to 5 points.
# * **Annotators of FERPlus.** The gains are small here. Co-teaching is 3 points ahead of the baseline and EAC 1, each with
#   every seed. ELR and ReSup memorise least and gain hardly anything. Yet the baseline memorises
#   nine tenths of the wrong answers. They belong to doubtful faces and look plausible. To believe them costs
#   little when the test labels come from a majority. And 1,500 faces from random weights are few. What helps
#   against symmetric noise need not help as much against people.
# * **A weight from another data set.** Take *all* 24,925 training faces of FERPlus with 30 % symmetric noise
#   (`eacbook table --data data/ferplus --noise 0.3`, an hour on 2 cores, three seeds). The baseline memorises
#   only 9 % of the wrong labels and recognises 72.7 ± 0.3 % of the test faces. Co-teaching has 74.4 ± 0.4,
#   RUL 71.3 ± 0.0, **EAC 70.5 ± 0.8**, SCN 64.6 ± 2.1. First we thought: this network is too small to
#   memorise so much. Then there is nothing to hold back, and a method that holds back only costs. Then we
#   tested it. With `eac:weight=0`, EAC has no constraint and no mirrored faces. It memorises 34 % of the
#   wrong labels and ends at 64.7 ± 0.7. So the network *can* memorise, and mirrored faces alone keep the
#   baseline from most of it. And we had chosen the weight of 1.5 on synthetic faces. We tried 0.25, 0.5, 1
#   and 1.5 on FERPlus's own *validation* faces. The two smallest are level and best. With them, EAC has
#   **73.4 ± 0.5** and **73.7 ± 0.6**: it is ahead of the baseline with every seed. A weight belongs to a
#   network *and* a data set. And an explanation that nobody tested is a guess.
#
# With two or three seeds, differences of two or three points say little.
#
# ## Quiz

# %%
quiz("06")

# %% [markdown]
# ## Take away
#
# * Every method assumes something. Co-teaching assumes that you know **how many** labels are wrong, and that
#   large losses mean wrong labels. SCN assumes that the network is **good already** when it begins to
#   correct. RUL assumes that doubt is about **faces**. EAC assumes that a mistake can be seen in **where the
#   network looks**, and that its weight fits the network.
# * Not memorising is not the same as learning. Compare both numbers.
# * Where you know the truth, you can check the scores of a method. Do it before you throw labels away by
#   them.
#
# **Back**: [5 · Features](05_features.ipynb). **Next**: [7 · The table](07_the_table.ipynb) has all of this
# with several seeds and rates, and the paper's numbers beside ours.
