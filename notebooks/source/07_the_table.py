# %% [markdown]
# # 7 · The table
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/07_the_table.ipynb)
#
# **You will learn** what one number in a paper's table means, and how to make such a table yourself. You will
# see when one method in it is really better than another. And you will learn to make the real table on GPUs.
#
# **You need** [notebook 6](06_the_methods.ipynb). You should know what a mean and a standard deviation are.
# **Time**: about 85 minutes of reading and trying. The first time, the computer trains for about a minute on 2 CPU
# cores. After that, it finds its runs again.

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %%
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display
from plotly.subplots import make_subplots

from eacbook.plots import palette
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import claim, say
from eacbook.plots.figures import HEIGHT, TEMPLATE
from eacbook.experiments.grid import make_cells, run_grid
from eacbook.experiments.published import RATES, SOURCE, TABLE
from eacbook.experiments.tables import cells_table, show, shown_table, summary_over_seeds
from eacbook.experiments.workers import workers_here

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
METHODS = ["baseline", "coteaching", "scn", "rul", "eac"]

# %% [markdown]
# ## The paper's table
#
# EAC's paper compares four methods on three sets of photographs, with 10, 20 and 30 % wrong labels. The
# package holds the paper's numbers as data, so you can put them beside yours. (All 36 were
# compared with the poster of the paper.)
#
# **Predict.** The table has nine places. In how many of them is EAC ahead of RUL, the second best? What is
# the smallest lead, in points? And how many test faces is that?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "smallest lead", guess)

published = pd.DataFrame(
    {
        (known.name, f"{rate:.0%}"): {name: row[place] for name, row in known.accuracy.items()}
        for known in TABLE.values()
        for place, rate in enumerate(RATES)
    }
)
print(SOURCE)
published.map("{:.2f}".format)

# %% tags=["nbval-ignore-output"]
sets = published.columns.unique(0)
figure = make_subplots(1, 3, subplot_titles=list(sets), shared_yaxes=True)
for column, set_name in enumerate(sets, start=1):
    for name, row in published[set_name].iterrows():
        line = {"color": palette.METHODS[name], "dash": palette.DASHES[name]}
        look = {"line": line, "marker_symbol": palette.SYMBOLS[name], "name": name, "showlegend": column == 1}
        figure.add_scatter(x=row.index, y=row, mode="lines+markers", **look, row=1, col=column)
figure.update_yaxes(title="test accuracy, %", col=1).update_xaxes(title="wrong labels", col=2)
figure.update_layout(template=TEMPLATE, height=HEIGHT).update_annotations(font_size=19)

# %%
lead = published.loc["eac"] - published.loc["rul"]
ahead, least, most = (lead > 0).sum(), lead.min(), lead.max()
print(f"EAC is ahead of RUL in {ahead} of {len(lead)} places, by {least:.2f} to {most:.2f} points.")
where = lead.idxmin()
faces, share = 3_100, published.loc["eac", where] / 100  # about so many has FERPlus, 7 classes
print(f"The smallest lead, on {where[0]}: {least / 100 * faces:.0f} of {faces:,} test faces.")
print(f"Standard error of one such accuracy: {100 * (share * (1 - share) / faces) ** 0.5:.1f} points.")

# %% [markdown]
# The last line shows what chance alone does to *one* accuracy. With 3,100 *other* faces of the same kind, it
# would be about 0.6 points higher or lower. But two methods that you test on the same faces mostly fail on
# the same ones. So their *difference* is more exact than that. A table cannot tell you how much more exact;
# only the predictions can. A lead of 3 faces is no lead in any case. A lead of 2 points on RAF-DB with 30 %
# is a different matter. It has the same direction at each rate and on each set.
#
# ## What one number means
#
# A number in such a table is the end of a chain of decisions. For the 88.02 of EAC on RAF-DB with 10 % they
# are:
#
# | decision | the paper | the grid below |
# |---|---|---|
# | faces | 12,271 photographs to train, the test set of RAF-DB | 300 drawn to train, 300 to test |
# | wrong labels | symmetric, one file for each rate | symmetric, drawn anew for each seed |
# | first weights | a network that has learnt millions of faces | random |
# | network | ResNet-18, 224 pixels | 0.1 million weights, 48 pixels |
# | training | 60 epochs, batches of 32 | 12 epochs, batches of 64 |
# | which epoch | the mean of the last five | the mean of the last five |
# | seeds | not stated | 0 and 1 |
# | spread | not stated | standard deviation over the seeds |
#
# Change one line, and you get another number. The differences between two *papers* often come from such a
# line. Inside one table, every method must share all of them. That is what a grid is for.
#
# ## A grid, small enough for a laptop
#
# `make_cells` lists all combinations of methods, noise rates, data sets and seeds. Each combination is a
# **cell**: one training. The seed of a cell decides its wrong labels, its initial weights, the order of the
# faces and the augmentation. So two methods with the same seed get *the same* wrong labels and the same
# batches. Remember this for later.
#
# **Predict**: with five methods, two rates and two seeds, how many cells are there? EAC and Co-teaching count
# double, because they need two passes a step. How many trainings of the baseline is that?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "one grid", guess)

cells = make_cells(METHODS, rates=[0.1, 0.3], seeds=[0, 1], limit=300, epochs=12)
work = sum(cell.method.passes for cell in cells)
print(len(cells), "cells, as much work as", work, "trainings of the baseline; the first and the last:")
print(cells[0], cells[-1], sep="\n")

# %% [markdown]
# Now train them. `workers_here` takes one worker for each core (or GPU). If you stop the training, or if a
# worker dies, you lose nothing. Run the same lines again, and they continue.

# %% tags=["nbval-ignore-output"]
outcomes = run_grid(cells, workers_here(None, "tiny"), RUNS)

# %% [markdown]
# A run is stored under its settings. **Predict**: how long does the very same grid take a second time? And
# what would a third seed cost?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "second time", guess)

again = run_grid(cells, workers_here(None, "tiny"), RUNS)
assert again == outcomes and not any(outcome.failure for outcome in outcomes)
print("All", len(again), "cells were found; a third seed would train", len(cells) // 2, "more.")

# %% [markdown]
# **Predict** before you look. What is the accuracy of the baseline at 10 and at 30 %? Which method comes
# first? Which share of the wrong labels has the baseline memorised after 12 epochs? (By chance, both the
# accuracy and the share would be one in seven.)

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "small grid", guess)

table = cells_table(outcomes, RUNS)
display(shown_table(summary_over_seeds(table)))
by_method = table.groupby(["noise", "method"])["test_accuracy"]
say(f"Two seeds of one method differ by up to {100 * (by_method.max() - by_method.min()).max():.0f} points.")

# %%
mean = by_method.mean().unstack()
claim("At both rates, EAC recognises fewer test faces than the baseline.", (mean["eac"] - mean["baseline"]).max(), below=0)

# %% [markdown]
# Nothing is broken. Twelve epochs of 300 faces are 60 steps. The networks are still learning what faces have
# in common. The baseline has begun to memorise as well (by chance it would be one wrong label in seven). A method against memorising costs something from the first step on. EAC must make its maps
# agree. SCN shrinks the logits. RUL never shows a pure face. The gain comes later.
#
# So a small grid can show that everything works, what a cell costs, and whether a setting is far too large or
# too small. It **cannot show which method is better**. At most, it shows which one learns fastest.
#
# `show` writes the same table in every form that you need: a page for the browser, Markdown for a README, and
# LaTeX for a paper. It also writes `cells.csv` with every figure of every cell.

# %%
said = show(outcomes, RUNS, Path(RUNS, "small_table"))
print(*sorted(path.name for path in Path(RUNS, "small_table").iterdir()))
assert "The paper has no such data" in said, "it says which numbers can stand beside the paper's"

# %% [markdown]
# ## One accuracy hides the classes
#
# RAF-DB has 17 times as many happy faces as fearful ones. Symmetric noise takes the same share of each class,
# and spreads it evenly over the others.
#
# **Predict.** With 30 % wrong labels, how many of the labels given as *fear* are right? And of those given as
# *happiness*?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "given as fear", guess)

import torch

from eacbook.noise.inject import inject_noise

counts = {"surprise": 1_290, "fear": 281, "disgust": 717, "happiness": 4_772, "sadness": 1_982, "anger": 705, "neutral": 2_524}
labels = torch.arange(7).repeat_interleave(torch.tensor(list(counts.values())))
given = inject_noise(labels, 0.3, num_classes=7).counts  # rows are true classes, columns are given labels
right = given.diagonal() / given.sum(0)
display(pd.DataFrame(
    {"training faces": counts.values(), "given this label": given.sum(0), "of these right": [f"{share:.0%}" for share in right.tolist()]},
    index=counts.keys(),
))
claim("Fewer than a third of the labels given as fear are right.", right[1].item(), below=1 / 3)

# %% [markdown]
# Most labels given as fear are wrong, although only 30 % of all labels are. A method may lose a whole rare
# class, and its test accuracy hardly moves. So look at two more things. One is the **confusion matrix** (rows
# are true classes, columns are predicted ones). The other is the **mean class accuracy**, in which every class
# counts equally.
#
# **Predict** for the small grid at 30 %: which two classes are confused most often? Our synthetic classes are
# equally frequent. By how much can the mean class accuracy then differ from the test accuracy?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "confused classes", guess)

from eacbook.classes import CLASSES
from eacbook.experiments.runs import read_facts
from eacbook.plots.figures import confusion_matrices

matrices = {}
for outcome in outcomes:
    cell = outcome.cell
    if cell.name in ("baseline", "eac") and cell.rate == 0.3 and cell.recipe.seed == 0:
        matrix = read_facts(Path(RUNS, outcome.run)).get("confusion_matrix")
        assert matrix, "this run was stored by an older eacbook: remove it, or set another EACBOOK_RUNS"
        matrices[cell.name] = torch.tensor(matrix)
confusion_matrices(matrices, CLASSES[:7])

# %% tags=["nbval-ignore-output"]
gap = 100 * (table["mean_class_accuracy"] - table["test_accuracy"]).abs().max()
say(f"In this grid the two accuracies differ by at most {gap:.1f} points.")

# %% [markdown]
# The 300 test faces are drawn at random from balanced ones, so the two differ little here. On RAF-DB they
# differ much more. `run.summary["mean_class_accuracy"]` and `cells.csv` have the number, and
# `run.confusion_matrix` is the matrix.

# %% [markdown]
# ## Never the best epoch
#
# `test_accuracy` is the mean of the last five epochs. Many tables show the best epoch instead. Why is that
# wrong? To know which epoch is best, you must look at the *test* faces. And the maximum of many noisy numbers
# is high by luck alone. So the best epoch flatters a method: it makes the method look better than it is.
#
# ### Exercise 1: how much it flatters
#
# You get the test accuracies of the epochs (a numpy array `[E]`, shares). Return how much higher the best
# epoch is than the mean of the last five.

# %%
from eacbook.book.exercises import check_flattery


def my_flattery(accuracies):
    # <solution>
    return accuracies.max() - accuracies[-5:].mean()
    # </solution>


check_flattery(my_flattery)

# %% [markdown]
# **Predict.** Suppose that everybody reports the best epoch. Which method gains most? Think of the curves of
# notebook 2.

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "best epoch", guess)

from eacbook.book.exercises import yours_or_ours


def our_flattery(accuracies):
    return accuracies.max() - accuracies[-5:].mean()


flattery_of = yours_or_ours(my_flattery, our_flattery, check_flattery)
rows = []
for outcome in outcomes:
    epochs = read_facts(Path(RUNS, outcome.run))["rows"]
    points = 100 * flattery_of(np.array([epoch["test_accuracy"] for epoch in epochs]))
    rows.append({"method": outcome.cell.name, "noise": outcome.cell.noise, "points": points})
flattery = pd.DataFrame(rows).pivot_table("points", "method", "noise", sort=False)
flattery.round(1)

# %% [markdown]
# The best epoch gives points for nothing (one to four in the saved run). Papers are written about less. Here
# it is luck which method gains most: the curves are still rising, and they are noisy on 300 test faces. (This
# holds for these trainings, at least. Where networks memorise, it is no longer luck: see below.)
#
# ## The full grid
#
# Here is a table that is large enough for conclusions: all 3,000 synthetic faces, 30 epochs, seven methods, five
# seeds, 105 cells. It took us two hours on two cores that did other work, too. So this notebook shows stored
# numbers. In a clone of the project, `make table` makes them again. Wherever eacbook is installed, you can
# use:
#
# ```sh
# eacbook table --seeds 0 1 2 3 4
# ```
#
# **Predict**, and write your answers down, because this is the result of the whole book:
#
# 1. The paper's order is baseline < SCN < RUL < EAC. Which parts of it hold here?
# 2. Co-teaching (`coteaching`) is not in the paper's table. It *knows* the true rate. Is that worth more than
#    looking twice?
# 3. ELR and ReSup (notebook 6) are not in it, either. Nobody tells them anything about the noise. Can one of
#    them beat EAC?
# 4. Which method memorises least? Is it the one with the highest accuracy?
#
# This is the output of `eacbook table` for seven methods, with 3,000 training and 1,400 test faces. The
# numbers are mean ± standard deviation over the seeds, in percent. The accuracy is that of the test faces, as
# the mean of the last five epochs. *Memorised* is the share of the wrong labels that the network predicts. The
# second row is the baseline at its best epoch on *validation* faces. Their labels are right, so it knows more
# than the others.
#
# <!-- filled: headline -->
# | wrong labels | 10 %: accuracy | memorised | 20 %: accuracy | memorised | 30 %: accuracy | memorised |
# |---|---|---|---|---|---|---|
# | baseline | 89.6 ± 0.8 | 64.4 ± 4.8 | 84.5 ± 0.9 | 57.5 ± 5.9 | 77.4 ± 1.5 | 53.6 ± 3.7 |
# | baseline, stopped early (sees right labels) | 89.3 ± 1.1 | 46.3 ± 12.8 | 84.4 ± 0.8 | 27.3 ± 14.5 | 80.3 ± 2.0 | 12.0 ± 5.6 |
# | Co-teaching (knows the true rate) | 93.4 ± 0.2 | 13.4 ± 1.2 | **92.7 ± 0.5** | 9.2 ± 1.1 | 89.7 ± 1.3 | 8.8 ± 1.1 |
# | SCN | 81.4 ± 3.8 | 20.8 ± 1.5 | 75.5 ± 4.7 | 21.8 ± 3.3 | 71.1 ± 4.0 | 17.5 ± 1.5 |
# | RUL | **94.0 ± 0.9** | 15.7 ± 3.1 | 89.8 ± 0.8 | 21.8 ± 1.9 | 83.9 ± 1.5 | 27.4 ± 2.0 |
# | ELR | 92.4 ± 1.3 | 4.9 ± 1.3 | 90.8 ± 1.3 | 4.9 ± 0.6 | 88.3 ± 2.0 | 6.6 ± 0.8 |
# | ReSup | 93.5 ± 0.6 | **2.5 ± 1.1** | 91.9 ± 0.8 | **3.7 ± 0.5** | **90.1 ± 1.4** | **4.1 ± 0.8** |
# | EAC | 92.5 ± 0.8 | 5.2 ± 1.2 | 90.8 ± 1.2 | 5.5 ± 0.6 | 88.7 ± 2.0 | 7.9 ± 0.8 |
# <!-- end -->
#
# Read it as a reviewer would.
#
# * **Of the paper's order, baseline < RUL < EAC holds** at 20 and 30 %. At 10 % RUL is ahead of EAC, with every
#   seed.
# * **SCN does not hold its place.** It ends *below* the baseline at every rate, with every seed, although it
#   memorises far less. We explain below why.
# * **ReSup is ahead of EAC at every rate**, on average, and nobody told it the rate. It trains two networks. ELR
#   has one network and one pass a step. It is level with EAC.
# * **Co-teaching is ahead of EAC at every rate**, too, by one to two points. But it knew the rate.
# * **Early stopping is no cure here.** It gives the baseline three points at 30 %, and nothing at 10 and 20 %.
#   For that it needed right labels.
# * **Memorising less is not everything.** At 10 % EAC memorises a third of what RUL and Co-teaching do. Yet
#   it ends about a point below both. The constraint costs accuracy, and this cost does not shrink with the
#   noise.
#
# Mean ± spread is a summary. For a comparison we want the cells themselves. Below is the test accuracy of
# every seed, in percent, from `cells.csv`. First comes the mean of the last five epochs, and then the best
# one.

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "full grid", guess)

# <!-- filled: every seed -->
CELLS = """
rate method     last_0 last_1 last_2 last_3 last_4 best_0 best_1 best_2 best_3 best_4
10%  baseline    88.79  88.49  90.17  90.19  90.13  88.86  89.86  90.64  90.43  90.57
10%  coteaching  93.43  93.47  93.31  93.01  93.66  93.79  93.79  93.57  93.43  93.93
10%  scn         84.29  77.63  80.31  78.43  86.30  85.79  85.29  86.21  79.93  87.21
10%  rul         93.79  93.81  95.13  92.80  94.71  94.00  94.14  95.21  92.93  95.07
10%  elr         91.07  92.86  93.74  90.90  93.46  91.57  93.43  94.07  91.14  93.86
10%  resup       94.24  93.93  93.51  93.01  92.73  94.71  94.21  93.71  93.36  92.93
10%  eac         92.00  91.87  93.00  92.20  93.67  92.43  92.00  93.21  92.71  93.93
20%  baseline    85.16  83.21  84.61  83.91  85.36  86.36  83.79  86.29  84.21  86.07
20%  coteaching  92.56  92.29  93.59  92.67  92.60  92.79  92.50  94.00  92.86  92.86
20%  scn         81.43  76.93  75.94  68.31  74.90  83.36  80.64  81.14  76.57  76.79
20%  rul         90.59  88.83  90.53  89.09  89.89  90.93  89.43  90.64  89.50  90.36
20%  elr         89.33  90.27  92.47  90.13  91.71  89.64  90.50  92.86  90.36  92.14
20%  resup       92.29  91.49  93.10  91.23  91.57  92.64  91.71  93.36  91.43  91.93
20%  eac         90.97  90.80  91.59  88.80  91.93  91.50  91.21  92.00  89.36  92.64
30%  baseline    76.84  77.13  77.49  75.81  79.81  80.64  82.36  81.71  79.36  80.86
30%  coteaching  89.69  89.16  89.19  88.63  91.91  90.14  89.71  89.43  88.86  92.29
30%  scn         75.29  73.93  72.33  66.77  66.99  79.21  76.71  78.29  69.21  75.93
30%  rul         84.16  82.09  82.66  84.60  85.79  85.21  84.36  84.64  85.21  87.14
30%  elr         88.33  87.11  89.09  85.93  91.21  88.64  87.79  89.50  86.29  91.36
30%  resup       90.07  90.10  91.04  87.79  91.26  90.29  90.36  91.29  88.29  91.71
30%  eac         87.16  88.27  90.66  86.63  90.96  87.43  88.64  91.07  87.14  91.29
"""
# <!-- end -->
full = pd.read_csv(io.StringIO(CELLS), sep=r"\s+", index_col=["rate", "method"])
last = full.filter(like="last_").rename(columns=lambda name: name[-1])
best = full.filter(like="best_").rename(columns=lambda name: name[-1])
print(last.loc["30%"])

# %% [markdown]
# ### Exercise 2: mean and spread
#
# You get the accuracies of the seeds (a numpy array `[S]`). Return their mean and their standard deviation,
# as the table shows them. Be careful: what does numpy's `std` divide by?

# %%
from eacbook.book.exercises import check_mean_and_spread


def my_mean_and_spread(accuracies):
    # <solution>
    return accuracies.mean(), accuracies.std(ddof=1)
    # </solution>


check_mean_and_spread(my_mean_and_spread)

# %% [markdown]
# With the full grid, we can return to the best epoch. **Predict**: at 30 % wrong labels, how large is EAC's
# lead over the baseline by the last five epochs? And by the best epoch?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "two leads", guess)


def our_mean_and_spread(accuracies):
    return accuracies.mean(), accuracies.std(ddof=1)


mean_and_spread = yours_or_ours(my_mean_and_spread, our_mean_and_spread, check_mean_and_spread)
for name, figures in {"mean of the last five": last, "best epoch": best}.items():
    mean, spread = mean_and_spread((figures.loc["30%", "eac"] - figures.loc["30%", "baseline"]).to_numpy())
    print(f"EAC ahead of the baseline at 30 %, {name}: {mean:.1f} ± {spread:.1f} points")

# %% [markdown]
# The lead is 11.3 points or 8.1, from the very same runs. The best epoch flatters every method whose accuracy
# falls after it. At 30 % it adds nearly 4 points to the baseline and 5 to SCN, but less than half a point to
# ELR, ReSup, EAC and Co-teaching. So the choice of the epoch alone changes the distances between the methods. If
# a table does not say which epoch it shows, you cannot compare it with one that does.
#
# ## Paired by seed
#
# SCN's accuracies differ much from seed to seed. But a seed is the *same* for all methods: the same wrong
# labels, the same initial weights, the same batches. If a seed is hard for one method, it may be hard for the
# other, too. Then the *difference* between the two varies less than either of them. So take the difference in
# each seed first.
#
# ### Exercise 3: a paired comparison
#
# You get the accuracies of two methods, A and B, in the same seeds (numpy arrays `[S]`). Return three
# numbers:
#
# * in how many seeds A is better;
# * the mean of the differences A - B;
# * the standard error of that mean: the standard deviation of the differences, divided by the square root of
#   their number.

# %%
from eacbook.book.exercises import check_paired


def my_paired(a, b):
    # <solution>
    gains = a - b
    return (gains > 0).sum(), gains.mean(), gains.std(ddof=1) / len(gains) ** 0.5
    # </solution>


check_paired(my_paired)

# %% [markdown]
# The figure shows every difference to EAC, with a dot for each seed. The dot is right of the line if the
# other method was better. **Predict**: for which methods do all five dots lie on one side, at each of the
# three rates?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "dots on one side", guess)

others = [name for name in last.index.unique("method") if name != "eac"]
titles = [f"{rate[:-1]} % wrong labels" for rate in last.index.levels[0]]
figure = make_subplots(1, 3, subplot_titles=titles, shared_yaxes=True)
for column, rate in enumerate(last.index.levels[0], start=1):
    for name in others:
        gains = last.loc[(rate, name)] - last.loc[(rate, "eac")]
        dots = {"size": 13, "opacity": 0.8, "color": palette.METHODS[name], "symbol": palette.SYMBOLS[name]}
        look = {"mode": "markers", "marker": dots, "name": name}
        figure.add_scatter(x=gains.round(2), y=[name] * len(gains), row=1, col=column, **look)
figure.add_vline(0, line={"color": palette.INK, "dash": "dash"})
figure.update_xaxes(title="points above EAC", matches="x").update_annotations(font_size=19)
figure.update_layout(template=TEMPLATE, height=HEIGHT, showlegend=False)

# %%
def our_paired(a, b):
    gains = a - b
    return (gains > 0).sum(), gains.mean(), gains.std(ddof=1) / len(gains) ** 0.5


paired_of = yours_or_ours(my_paired, our_paired, check_paired)
for name in others:
    better, mean, error = paired_of(last.loc["30%", "eac"].to_numpy(), last.loc["30%", name].to_numpy())
    print(f"30 %, EAC minus {name:10}: {mean:+5.1f} ± {error:.1f}, better in {better} of 5 seeds")

# %% [markdown]
# Here are these differences for all three rates, and for the baseline that is stopped early. Each cell has the mean,
# its standard error, and the number of seeds in which EAC is better. In bold are those beyond the limit that we explain below.
#
# <!-- filled: paired -->
# | EAC minus | 10 % | 20 % | 30 % |
# |---|---|---|---|
# | baseline | **+3.0 ± 0.3 (5 of 5)** | **+6.4 ± 0.5 (5 of 5)** | **+11.3 ± 0.5 (5 of 5)** |
# | baseline, stopped early | **+3.2 ± 0.4 (5 of 5)** | **+6.4 ± 0.5 (5 of 5)** | **+8.5 ± 0.7 (5 of 5)** |
# | coteaching | -0.8 ± 0.3 (1 of 5) | **-1.9 ± 0.5 (0 of 5)** | -1.0 ± 0.7 (1 of 5) |
# | scn | **+11.2 ± 1.5 (5 of 5)** | **+15.3 ± 1.8 (5 of 5)** | **+17.7 ± 2.1 (5 of 5)** |
# | rul | **-1.5 ± 0.3 (0 of 5)** | +1.0 ± 0.5 (4 of 5) | **+4.9 ± 1.1 (5 of 5)** |
# | elr | +0.1 ± 0.4 (3 of 5) | +0.0 ± 0.5 (3 of 5) | +0.4 ± 0.5 (3 of 5) |
# | resup | -0.9 ± 0.6 (1 of 5) | -1.1 ± 0.5 (1 of 5) | -1.3 ± 0.5 (0 of 5) |
# <!-- end -->
#
# How many standard errors are enough? With very many seeds, the usual limit (a chance of 5 %) is about 2. With
# five seeds, the error itself is estimated from five numbers, and the limit is **2.8** (Student's *t* with four
# degrees of freedom; with three seeds it would be 4.3). And these are 21 comparisons. At 5 % each, one such list
# should show about one difference even if there were none at all.
#
# So, honestly, five seeds show this:
#
# * EAC is better than the **baseline**, stopped early or not, with every seed and far beyond the limit. The lead
#   grows with the noise. For 21 comparisons the limit would be about 7 standard errors. Most of these leads are
#   beyond that, too.
# * EAC is better than **SCN as it is set here**, with every seed.
# * EAC is better than **RUL** at 30 %. At 10 % RUL is better than EAC. At 20 % four of five seeds say EAC, and
#   that is not enough.
# * **ReSup** is ahead in 13 of 15 pairs, by about one point: two standard errors, and nearly three at 30 %. No
#   single rate reaches the limit. But the sign is the same at all three. It is the best guess if you may train two
#   networks.
# * **ELR** and EAC: no difference that five seeds can show. It would have to be larger than about a point and a
#   half.
# * **Co-teaching** is ahead of EAC in 13 of 15 pairs, beyond the limit at 20 %. Would it lead without the true
#   rate? This table cannot say.
#
# Did pairing help? For EAC and the baseline at 30 %, the error is 0.5 points, and 1.1 without pairing. A seed that
# was hard for the baseline was often hard for EAC, too: the wrong labels are the same. With the first three seeds
# alone, pairing had hardly helped. It costs nothing, and promises nothing.
#
# ## Why our table is not the paper's
#
# Our numbers are not wrong, and the paper's are not wrong, either. They answer different questions:
#
# * **Random weights.** The paper starts from a network that was trained on faces. Ours must learn faces, with
#   the wrong labels.
# * **A tiny network**, and synthetic faces that are cleaner than any photograph.
# * **Not the same size.** EAC and the baseline have 100,311 weights. RUL's larger classifier makes 395,607.
#   Co-teaching trains two networks. (SCN adds 65.)
# * **Not the same information.** Co-teaching knows the true rate. Notebook 6 shows what a wrong guess costs.
# * **Not tuned alike.** We chose the learning rate and the epochs with the baseline and EAC, on validation
#   faces. We chose EAC's weight there, too. SCN, RUL and Co-teaching have their papers' values, which were
#   made for other networks and longer trainings.
#
# SCN shows how much the last point matters. In its paper, it begins to change labels in epoch 10. In our
# schedule, the learning rate is highest there, and the network still knows little. So SCN changes many labels
# that were right. With 10 % wrong labels and seed 1, it had changed 685 of 3,000 labels in the end. Fewer
# than one in five of these changes were right. **Predict**: what happens if SCN begins in epoch 20? And if it never
# begins?
#
# `eacbook table --methods scn:relabel_epoch=20 scn:relabel_epoch=31 --noise 0.1 0.3` (5 minutes on 2 cores;
# there is no epoch 31; seeds 0, 1 and 2):
#
# <!-- filled: later relabelling -->
# | wrong labels | 10 %: accuracy | memorised | 30 %: accuracy | memorised |
# |---|---|---|---|---|
# | SCN, from epoch 10 | 80.7 ± 3.3 | **21.3 ± 1.2** | 73.8 ± 1.5 | **17.2 ± 1.3** |
# | SCN, from epoch 20 | 90.2 ± 0.9 | 28.8 ± 2.2 | **80.4 ± 4.5** | 24.0 ± 0.2 |
# | SCN, never | **90.4 ± 0.7** | 49.9 ± 4.0 | 78.7 ± 1.7 | 41.7 ± 1.2 |
# <!-- end -->
#
# This is a difference of more than six points at 30 %, from one number that no table shows. With it, the means at 30
# % are in the paper's order: baseline, SCN, RUL, EAC. But do not write that into the table above. We tried
# epoch 20 *after* we had seen the result, and on the *test* faces. In that way you get any order you like.
# The honest way: choose it on validation faces, with the same effort for every method. Then test once, with
# new seeds.
#
# ## The real table
#
# For numbers that you can put beside the paper's, you need photographs ([notebook 8](08_real_faces.ipynb))
# and GPUs. You also need weights that were trained on faces ([which, and from
# whom](https://github.com/eacbook/eacbook/blob/main/docs/weights.md)). **Predict** for one data set with five
# methods, three rates and three seeds: how many trainings of the baseline is that?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("07", "real table", guess)

real = make_cells(METHODS, RATES, seeds=[0, 1, 2], network="resnet18")
work = sum(cell.method.passes for cell in real)
print(len(real), "cells of", real[0].recipe.epochs, "epochs")
print("as much work as", work, "trainings of the baseline")

# %% [markdown]
# How long that takes depends on your GPU, so measure it there. Train the baseline for one epoch
# (`eacbook train ... --method baseline --epochs 1`). Multiply its seconds by 60 and by the number above.
# Then:
#
# ```sh
# # one machine: one cell on each GPU at a time (without a GPU one on each core)
# eacbook table --data data/rafdb data/ferplus --network resnet18 --weights FILE
#
# # a Ray cluster: every node needs eacbook, and sees data and runs under the same path
# pip install "eacbook[cluster] @ git+https://github.com/eacbook/eacbook"
# eacbook table --cluster ray://head-node:10001 --folder /shared/runs --data /shared/data/rafdb \
#     --network resnet18 --weights /shared/FILE
#
# # one run on several GPUs, if a single one takes too long
# torchrun --nproc-per-node 4 -m eacbook train --data data/rafdb --method eac --noise 0.3 --seed 0 \
#     --network resnet18 --weights FILE
# ```
#
# * **Stop and continue.** Press Ctrl-C, lose a node, come back tomorrow: the same line continues from the
#   last whole epoch of each cell. If the settings are the same, `table` finds what `train` has trained, and
#   `train` finds what `table` has trained.
# * **More seeds later**: `--seeds 0 1 2 3 4` trains only the two new ones. Decide how many you want *before*
#   you look. Do not add seeds until a difference pleases you: that is the mistake of the best epoch again.
# * **Ablations are methods**: `--methods baseline eac eac:weight=2 eac:erasing=false`. They get no number
#   from the paper beside them.
# * **Output**: `runs/table/table.html`, `.md`, `.tex` and `.csv` show mean and spread, and `cells.csv` has
#   one row for each cell. Below the table, you read where your setting differs from the paper's. Each run has
#   a folder with `run.json` (all settings, every epoch) and its weights. If a cell fails, the output names it
#   at the end. The reason is in `failures.txt`, and the other cells are kept.
#
# ## Quiz

# %%
quiz("07")

# %% [markdown]
# ## Take away
#
# * A number in a table is the end of a **chain of decisions**. Ask for the epoch, the seeds, the spread and
#   the initial weights before you compare it with anything.
# * **Never the best epoch**: it flatters every method that falls after it.
# * Compare **paired by seed**. With five seeds, do not call a difference real before it is larger than about
#   three of its standard errors. With three seeds it takes more than four.
# * On synthetic faces, EAC beats the baseline clearly, and beats RUL where there is much noise. Co-teaching
#   that knows the rate does at least as well. **How each method was tuned** can change its result more than
#   its idea does. One page has [all claims of the
#   poster](https://github.com/eacbook/eacbook/blob/main/docs/claims.md), each with its verdict.
#
# **Back**: [6 · The methods](06_the_methods.ipynb). **Next**: [8 · Real faces](08_real_faces.ipynb), with
# your own copy of FERPlus, and faces of your own.
