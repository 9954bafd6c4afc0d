# %% [markdown]
# # 9 · Which labels are wrong?
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/09_audit.ipynb)
#
# **You will learn** how to rank the labels of a data set by doubt, and how to measure such a ranking. You
# will hide wrong labels and find them again. You will compare five ways to doubt a label, and see where all of
# them fail. Then you audit FERPlus, or a stand-in.
#
# **You need** notebooks [2](02_baseline_vs_eac.ipynb), [4](04_losses.ipynb) and [5](05_features.ipynb).
# **Time**: about 75 minutes of reading and trying. With the runs of notebook 2, the computer works for about a minute
# on 2 CPU cores. Without them, it works for about 5 minutes.

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Hide wrong labels
#
# In the notebooks before, we asked how many test faces a network recognises. Now we ask another question:
# *which* labels are wrong? If you collect pictures, this is often the question that you really have. We need a
# set for which we know the answer. So we take the 1,500 training faces of notebook 2, with its 30 % of
# symmetric noise. The networks never see which labels these are.

# %% tags=["nbval-ignore-output"]
import os
from pathlib import Path

import pandas as pd
import torch
from IPython.display import display
from sklearn.metrics import average_precision_score

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import RATE, book_faces, book_run, claim, say
from eacbook.plots.pictures import face_sheet

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
METHODS = {"baseline": eb.Baseline(), "eac": eb.EAC()}
SEEDS = (0, 1, 2)
faces = book_faces()
images, classes = faces.train.images, faces.classes


def show_faces(rows, given, true):
    """Faces with their given labels; a frame marks a wrong one."""
    show(face_sheet(images[rows], given[rows], true[rows], classes, cell=76))

# %% [markdown]
# Here are 16 of the faces with their given labels. **Predict**: which labels are wrong? Write down your list.
# You do now what an annotator does who checks a data set. How many of the 1,500 would you check before you stop?

# %% tags=["nbval-ignore-output"]
hidden = eb.inject_noise(faces.train.labels, RATE, 7, seed=0)
some = torch.arange(40, 56)
show_faces(some, hidden.given, hidden.given)  # as if all were right

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "the sixteen", guess)

print("wrong:", [place + 1 for place in range(16) if hidden.wrong[some][place]], "of 1 to 16")

# %% [markdown]
# ## Let the network doubt
#
# A network that was trained with EAC memorises few wrong labels. So we may ask it about the faces that it was
# trained on. The **doubt** of a label is one minus the probability that the network gives to it. We sort the
# labels by doubt, the most doubtful first. That is the **ranking**.
#
# **Predict.** Look at the first 16 of the ranking. How many of their labels are wrong? By chance it would be
# about five.

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "head of the ranking", guess)

from eacbook.audit.scores import nearest, predict_with_features

runs = {(name, seed): book_run(method, faces, seed, folder=RUNS) for name, method in METHODS.items() for seed in SEEDS}
predicted = {key: predict_with_features(run.network, images, None) for key, run in runs.items()}


def of_given(key):
    """The probability of each face's given label, [N]."""
    probabilities, _ = predicted[key]
    return probabilities.gather(1, runs[key].noisy.given[:, None])[:, 0]


ranking = (1 - of_given(("eac", 0))).argsort(descending=True)
show_faces(ranking[:16], hidden.given, hidden.true)

# %%
claim("Most of the first 16 labels are wrong.", hidden.wrong[ranking[:16]].sum(), above=11)

# %% [markdown]
# ## Along the ranking
#
# You look at the labels one by one, in the order of the ranking. After each one, two numbers say how it goes.
# The **precision** is the share of the labels so far that are wrong. It says how much of your time was well
# spent. The **recall** is the share of all wrong labels that you have found so far. It says how clean the set
# will be.
#
# ### Exercise 1: precision and recall along the ranking
#
# `ranked` is bool `[N]`, in the order of the ranking: is the label at this place wrong? Return the precision
# and the recall after every place, both `[N]`.

# %%
from eacbook.book.exercises import check_along_the_ranking


def my_precision_and_recall(ranked):
    # <solution>
    found = ranked.cumsum(0)
    return found / torch.arange(1, len(ranked) + 1), found / ranked.sum()
    # </solution>


check_along_the_ranking(my_precision_and_recall)

# %% [markdown]
# **Predict** the two curves for EAC and for the baseline. Where does the precision begin, and where must it end?
# How many labels do you look at until you have found nine of ten wrong ones?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "two curves", guess)

from eacbook.plots.figures import ranking_curves

ranked = {
    name: hidden.wrong[(1 - of_given((name, 0))).argsort(descending=True, stable=True)] for name in METHODS
}
ranking_curves(ranked)

# %% tags=["nbval-ignore-output"]
from eacbook.book.exercises import yours_or_ours


def our_precision_and_recall(ranked):
    found = ranked.cumsum(0)
    return found / torch.arange(1, len(ranked) + 1), found / ranked.sum()


both_of = yours_or_ours(my_precision_and_recall, our_precision_and_recall, check_along_the_ranking)
recall = {name: both_of(along)[1] for name, along in ranked.items()}
until = {name: int((along < 0.9).sum()) + 1 for name, along in recall.items()}
for name, count in until.items():
    say(f"**{name}**: nine of ten wrong labels are among the first {count:,} of 1,500.")

# %%
at_true_number = {name: float(along[: along.sum()].double().mean()) for name, along in ranked.items()}
claim("With EAC, more than two thirds of the first 450 labels are wrong.", at_true_number["eac"], above=0.67)
claim("With EAC, you find nine of ten wrong labels sooner than with the baseline.", until["baseline"] - until["eac"], above=100)

# %% [markdown]
# Each curve starts near 100 % (in the saved run) and ends at the share of wrong labels in the set. In between it
# falls: the ranking has used up its sure cases. No point of the curve is *the* right one. If an hour of looking is
# expensive, you stop early. If a wrong label is expensive, you go on.
#
# One number describes the whole curve. The **average precision** is the mean of the precision at the places of
# the wrong labels. It is 100 % if all wrong labels come first. By chance it is the rate of noise, 30 % here.
#
# ## Five ways to doubt
#
# The probability is only one sign of doubt. Here are four others, and none of them knows the truth:
#
# * the **margin**: how far another class is ahead of the given one;
# * the **mean loss** over all epochs of the training (notebooks [4](04_losses.ipynb) and 8), since a wrong label
#   is learnt late;
# * the **neighbours**: the share of the ten nearest faces, by features, with another given label (notebook
#   [5](05_features.ipynb));
# * the doubt of networks that **have not seen** the face. We come to it below.
#
# ### Exercise 2: the margin
#
# `probabilities` is `[N, 7]` and `given` is `[N]`. Return for each label: the largest probability of *another*
# class minus the probability of the given class, `[N]`.

# %%
from eacbook.book.exercises import check_margin


def my_margin(probabilities, given):
    # <solution>
    own = probabilities.gather(1, given[:, None])
    others = probabilities.scatter(1, given[:, None], -1).amax(1)
    return others - own[:, 0]
    # </solution>


check_margin(my_margin)

# %% [markdown]
# **Predict** the best and the worst sign for each method. Think of the baseline at the end: what has it done with
# the wrong labels? Which of the signs still knows what the network thought earlier?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "best sign", guess)

def our_margin(probabilities, given):
    others = probabilities.scatter(1, given[:, None], -1).amax(1)
    return others - probabilities.gather(1, given[:, None])[:, 0]


margin_of = yours_or_ours(my_margin, our_margin, check_margin)


def signs(prediction, run):
    """Four signs of doubt for each label of a run: name to [N], larger is more doubtful."""
    probabilities, features = prediction
    given, everyone = run.noisy.given, torch.arange(len(probabilities))
    return {
        "doubt": 1 - probabilities.gather(1, given[:, None])[:, 0],
        "margin": margin_of(probabilities, given),
        "mean loss": run.records["sample_losses"].double().mean(0),
        "neighbours": (given[nearest(features, everyone, 10)] != given[:, None]).double().mean(1),
    }


precision = {
    name: pd.DataFrame([
        {sign: average_precision_score(run.noisy.wrong, score) for sign, score in signs(predicted[name, seed], run).items()}
        for seed, run in ((seed, runs[name, seed]) for seed in SEEDS)
    ])
    for name in METHODS
}
display(pd.DataFrame({name: table.mean() for name, table in precision.items()}).map("{:.1%}".format))

# %%
baseline, eac = precision["baseline"], precision["eac"]
claim("EAC's doubt ranks better than the baseline's, with every seed.", (eac["doubt"] - baseline["doubt"]).min(), above=0.08)
claim("The baseline's mean loss ranks better than its doubt at the end, with every seed.", (baseline["mean loss"] - baseline["doubt"]).min(), above=0.08)
claim("EAC's neighbours rank better than the baseline's, with every seed.", (eac["neighbours"] - baseline["neighbours"]).min(), above=0.08)

# %% [markdown]
# (These are means over three seeds.) At the end, the baseline believes most of the wrong labels. So its doubt and its
# neighbours find few of them. Its *mean* loss remembers the early epochs, and that helps as much as EAC does. So a
# plain training that writes down its losses is a good audit, too. EAC needs no such memory: the network that you
# keep can still doubt. The page of `eacbook audit` ranks by the doubt of EAC. It shows the mean loss and the
# neighbours beside it, and it marks the pictures on which they disagree.
#
# ## Networks that have not seen the face
#
# There is another cure for memorising: never ask a network about a face that it was trained on. Cut the set into
# parts. For each part, train a network on the others, and let it judge this part. The library
# [cleanlab](https://github.com/cleanlab/cleanlab) (Northcutt, Jiang and Chuang, JAIR 2021) works on such *out of
# sample* probabilities. It costs one training for each part. We take three parts and ten epochs.
#
# **Predict.** Each network sees a third of the faces less. Will the ranking be better or worse than EAC's?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "unseen faces", guess)

from importlib.util import find_spec

from sklearn.model_selection import StratifiedKFold

from eacbook.experiments.runs import find_or_train


def out_of_sample(faces, noisy, parts=3, epochs=10):
    """Probabilities of baselines that have not seen the face, [N, 7]."""
    images = faces.train.images
    judged = torch.zeros(len(images), 7, dtype=torch.float64)
    folds = StratifiedKFold(parts, shuffle=True, random_state=0).split(noisy.given, noisy.given)
    for seen, unseen in folds:
        seen = torch.from_numpy(seen)
        some, labels = faces.only(seen), noisy.take(seen)
        options = {"epochs": epochs, "folder": RUNS, "hooks": [eb.Progress()]}
        run = find_or_train(eb.Baseline(), eb.build_network("tiny", 7), some, labels, **options)
        judged[unseen] = predict_with_features(run.network, images[unseen], None)[0]
    return judged


if find_spec("cleanlab"):
    from cleanlab.rank import get_label_quality_scores

    judged = out_of_sample(faces, hidden).numpy()
    by_cleanlab = {
        method: average_precision_score(hidden.wrong, -get_label_quality_scores(hidden.given.numpy(), judged, method=method))
        for method in ("self_confidence", "normalized_margin")
    }
    best = max(by_cleanlab, key=by_cleanlab.get)
    say(f"cleanlab, {best}: average precision {by_cleanlab[best]:.1%}. EAC's doubt, same labels: {eac['doubt'][0]:.1%}.")
else:
    print("cleanlab is not installed, so this comparison is left out (pip install cleanlab).")

# %% [markdown]
# This is one seed, and the baselines were stopped early on purpose. The project's benchmark (`benchmarks/audit.py`) compares more fairly: five parts, three
# seeds, the best epoch.
#
# ## Where all of them fail
#
# Symmetric noise is kind to us. Its mistakes contradict each other, and so the majority of similar faces is right.
# Now we hide harder mistakes:
#
# * **Mistakes that agree.** Of the faces with fear, 60 % get the label surprise. (The pair noise of notebook
#   [1](01_label_noise.ipynb) does this to every class.) Somebody misunderstood the instructions.
# * **A rare class.** We keep only 30 faces with disgust.
# * Of all other faces, 10 % get a random wrong label, as before.
#
# **Predict.** Where in the ranking will the faces be whose fear became surprise? And the few faces with fear that
# kept their right label? Which class has most false alarms?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "harder mistakes", guess)

from eacbook.noise.matrices import symmetric_matrix

SURPRISE, FEAR, DISGUST = (classes.index(name) for name in ("surprise", "fear", "disgust"))
matrix = symmetric_matrix(0.1, 7)
matrix[FEAR] = 0.6 * torch.eye(7)[SURPRISE] + 0.4 * torch.eye(7)[FEAR]
rare = (faces.train.labels == DISGUST).nonzero()[30:, 0]
hard_faces = faces.only(torch.tensor([row for row in range(len(images)) if row not in set(rare.tolist())]))
hard = eb.inject_noise(hard_faces.train.labels, None, 7, kind="matrix", matrix=matrix, seed=0)


def hard_run(seed=0):
    """Train (or find) EAC on the hard labels, with fewer epochs than in notebook 2."""
    network = eb.build_network("tiny", 7, seed=seed)
    hooks = [eb.Progress(), eb.SampleLosses()]
    return find_or_train(eb.EAC(), network, hard_faces, hard, folder=RUNS, hooks=hooks, epochs=15, seed=seed)


run = hard_run()
hard_signs = signs(predict_with_features(run.network, hard_faces.train.images, None), run)
doubt = hard_signs["doubt"]
if find_spec("cleanlab"):
    judged = out_of_sample(hard_faces, hard).numpy()
    quality = get_label_quality_scores(hard.given.numpy(), judged, method=best)
    hard_signs["cleanlab"] = -torch.from_numpy(quality)

# %% tags=["nbval-ignore-output"]
agreeing = hard.wrong & (hard.true == FEAR)
groups = {
    "wrong at random": hard.wrong & ~agreeing,
    "wrong together: fear labelled surprise": agreeing,
    "right: fear": ~hard.wrong & (hard.true == FEAR),
    "right: disgust, the rare class": ~hard.wrong & (hard.true == DISGUST),
    "right: all other classes": ~hard.wrong & (hard.true != FEAR) & (hard.true != DISGUST),
}
first = {sign: torch.zeros(len(doubt)) for sign in hard_signs}
for sign, score in hard_signs.items():
    first[sign][score.argsort(descending=True, stable=True)[: int(hard.wrong.sum())]] = 1
columns = {("", "labels"): [int(group.sum()) for group in groups.values()]}
for sign, part in first.items():
    columns["in the first part, by", sign] = [f"{part[group].mean():.0%}" for group in groups.values()]
pd.DataFrame(columns, index=[*groups])

# %%
found = {name: float(first["doubt"][group].mean()) for name, group in groups.items()}
at_random, together, fear, disgust, others = found.values()
claim("Random mistakes are found more often than mistakes that agree.", at_random - together, above=0.1)
claim("Right labels of fear are doubted more often than right labels of the other classes.", fear - others, above=0.1)
claim("So are right labels of the rare class.", disgust - others, above=0.1)

# %% [markdown]
# (The *first part* has as many labels as there are wrong ones.) In the saved run, no sign finds a tenth of the
# mistakes that agree. Four of them come from the same network, and cleanlab's networks saw the same labels. Only
# the neighbours and cleanlab leave more than half of the right labels of fear alone. A network learns what most labels say. If most
# faces with fear are called surprise, then "surprise" is what such a face is called, and the *right* labels look
# odd. No ranking that is made of the labels alone can see this. Only a person who looks at the pictures can. The
# **noise matrix** of the audit helps: a large number in one cell says "these two classes may be mixed up".
#
# The rare class has the other problem. The network has seen too few of its faces to expect them. Its right labels
# come early in the ranking, and in the worst case you delete the rest of the class. A doubted label may be rare,
# not wrong.
#
# ### Exercise 3: the list of each class
#
# One ranking for all classes is filled by the hard ones. So also make a list for each *given* class. `score` and
# `given` are `[N]`. Return the rows of the `count` most doubtful labels of each class, as one tensor. (A class may have
# fewer.)

# %%
from eacbook.book.exercises import check_first_of_each_class


def my_first_of_each_class(score, given, count):
    # <solution>
    order = score.argsort(descending=True)
    return torch.cat([order[given[order] == label][:count] for label in given.unique()])
    # </solution>


check_first_of_each_class(my_first_of_each_class)

# %% [markdown]
# Suppose that you have time to look at 70 labels. You may take the first 70 of the one ranking, or the first ten of
# each class.

# %% tags=["nbval-ignore-output"]
def our_first_of_each_class(score, given, count):
    order = score.argsort(descending=True)
    return torch.cat([order[given[order] == label][:count] for label in given.unique()])


first_of_each = yours_or_ours(my_first_of_each_class, our_first_of_each_class, check_first_of_each_class)
lists = {
    "first 70 of one ranking": doubt.argsort(descending=True)[:70],
    "first 10 of each class": first_of_each(doubt, hard.given, 10),
}
looked = {}
for name, rows in lists.items():
    of_class = [rows[hard.given[rows] == label] for label in range(7)]
    looked[name, "labels"] = [len(own) for own in of_class]
    looked[name, "wrong"] = [int(hard.wrong[own].sum()) for own in of_class]
display(pd.DataFrame(looked, index=pd.Index(classes, name="given")))
one, each = (hard.wrong[rows].double().mean() for rows in lists.values())
say(f"Of the first 70 of one ranking, {one:.0%} are wrong. Of the first ten of each class, {each:.0%} are.")

# %% [markdown]
# In the saved run, more than half of the first 70 labels are given as the rare class, where the network doubts
# everything. So you would look at many right labels. The lists of the classes share your time out. The page of the
# audit has such a list for each class.

# %% [markdown]
# ## Audit FERPlus
#
# Now the real question, with the tool. It does what you did above: one training with EAC, one ranking. Before that it
# tests itself. It makes one label in twenty wrong on purpose, trains a network, and counts how many of *these* it
# finds. So you learn how good the ranking is on your own data, without knowing one true label.
#
# As in [notebook 8](08_real_faces.ipynb), name your copy of FERPlus in `EACBOOK_FERPLUS`, or the notebook makes a
# stand-in. As the label of each face we take the answer of *one* of its ten annotators, because that is what most
# data sets have. What most of the ten say stays hidden, and we compare in the end.

# %% tags=["nbval-ignore-output"]
import subprocess
import tempfile

from eacbook.book.stand_in import name_stand_in, pack_stand_in

SOURCE = os.environ.get("EACBOOK_FERPLUS")  # or the path of yours: SOURCE = "/home/me/ferplus.zip"
if SOURCE:
    folder, download = Path(RUNS, "data", "ferplus"), Path(SOURCE).expanduser().resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
else:
    print("No download was named: STAND-IN, synthetic faces.")
    until_the_end = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    folder, download = Path(until_the_end.name, "stand-in"), Path(until_the_end.name, "stand-in.zip")
    pack_stand_in(download)
command = [sys.executable, "-m", "eacbook", "prepare", "ferplus", str(download), "--out", str(folder)]
said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
if not SOURCE:
    name_stand_in(folder)
whole = eb.load_faces(folder).limit(500, held_out=100)
answers = eb.inject_noise(whole.train.labels, None, 7, kind="annotator", votes=whole.train.votes, seed=0)
print(len(whole.train), "faces;", f"{answers.wrong.double().mean():.0%} of the answers are not the majority's")

# %% [markdown]
# **Predict.** The self-test plants *random* mistakes. The annotators make *plausible* ones. Which of the two will be
# found more often in the first 20 % of the ranking?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("09", "planted or real", guess)

from eacbook.audit.plan import make_plan
from eacbook.audit.run import describe_self_test, make_report
from eacbook.audit.scores import score_labels
from eacbook.audit.self_test import run_self_test
from eacbook.audit.source import AuditSet

found = AuditSet.of(whole, answers)
plan = make_plan(found, quick=True, epochs=15)
tested = run_self_test(found, plan, RUNS)
scores = score_labels(found, plan, RUNS)
report = make_report(found, plan, scores, tested)
print(describe_self_test(tested))

# %% tags=["nbval-ignore-output"]
doubt = scores.score[: len(whole.train)]
fifth = doubt.argsort(descending=True)[: len(doubt) // 5]
share_found = float(answers.wrong[fifth].sum() / answers.wrong.sum())
votes = whole.train.votes.double()
agreement = votes.gather(1, whole.train.labels[:, None])[:, 0] / votes.sum(1)
say(f"Of the annotators' mistakes, {share_found:.0%} are in the first fifth of the ranking.")
say(f"In this fifth, {agreement[fifth].mean():.0%} of the ten people agree with the majority; over all faces it is {agreement.mean():.0%}.")
show(face_sheet(whole.train.images[fifth[:12]], answers.given[fifth[:12]], whole.train.labels[fifth[:12]], classes, columns=6, cell=76))

# %%
if not SOURCE:
    claim("In the first fifth, there are more of the annotators' mistakes than by chance.", share_found, above=0.25)
    claim("On the faces of the first fifth, people agree less than on all faces.", agreement.mean() - agreement[fifth].mean(), above=0)

# %% [markdown]
# Read the self-test as an upper limit. It knows how well *random* mistakes are found. The mistakes of people look
# plausible on the very face that has them, and so they are harder to find. On the other hand, a doubted face is
# often one on which people disagree. There, neither label is simply wrong.
#
# (If these are real faces, your copy of this notebook now *contains* them. Clear the outputs before you pass it on.)
#
# ## Decide
#
# For a folder of your own pictures, everything above is one command:
#
# ```sh
# eacbook audit FOLDER --out audit            # a folder for each class, or a prepared set
# eacbook audit --apply audit/decisions.csv --out data/mine-clean
# ```
#
# The first command writes a page, `audit/index.html`. It shows the suspects, the label that the network suggests, the
# nearest neighbours and the attention for both labels. You decide with the keyboard: keep, relabel, drop, unsure.
# The second command writes a corrected copy and never touches your pictures. It leaves the test set alone. If you
# cleaned it by the opinion of a network, the network would look better than it is.
#
# ## Quiz

# %%
quiz("09")

# %% [markdown]
# ## Take away
#
# * Sort labels by **doubt**, and look from the top. **Precision** and **recall** along the ranking say when to stop.
# * At the end of a training, ask a network that has **not memorised** (EAC), its **mean loss**, or networks that
#   have **not seen** the face.
# * **Mistakes that agree** look right, and **rare** faces look wrong. So a person decides, and looks at each class.
# * Plant wrong labels in *your* data before you trust a ranking. What you find of them is an **upper limit**.
#
# **Back**: [8 · Real faces](08_real_faces.ipynb). This is the last notebook. **Next**:
# [docs/audit.md](https://github.com/eacbook/eacbook/blob/main/docs/audit.md) describes the command and its page.
