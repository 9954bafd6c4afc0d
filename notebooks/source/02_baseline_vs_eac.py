# %% [markdown]
# # 2 · Baseline against EAC
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/02_baseline_vs_eac.ipynb)
#
# **You will learn** how a network first learns and then memorises wrong labels. You will see what Erasing
# Attention Consistency (EAC) does about it, and why. And you will learn to compare two methods honestly.
#
# **You need** the idea of label noise from [notebook 1](01_label_noise.ipynb). If *class activation map*, *batch
# normalisation* or *learning-rate schedule* is new to you, begin with the [primer](00_primer.ipynb). **Time**: about 80 minutes of
# reading and trying. The first time, the computer trains for about 3 minutes on 2 CPU cores (76 seconds on an H100,
# while the other notebooks ran too). After that it loads the saved runs.

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## The faces and the mistakes
#
# This notebook uses fewer synthetic faces than eacbook's demo, so that you need not wait long. 30 % of the
# labels are wrong (symmetric noise). The network is small (0.1 million weights) and starts from random weights. `book_run`
# trains it, or loads the run if exactly the same one was trained before. It also records, epoch by epoch,
# what notebooks 3 to 5 look at. You can press *stop* during a training. The finished epochs are kept, and
# "Run all" ends there. Run the cell again, and the training goes on.
#
# A **seed** fixes the wrong labels, the initial weights, the order of the faces, and the random changes to
# the pictures (the *augmentation*). A training uses one thread for each free core. On the same kind of processor, with the same number of threads,
# it gives the same network to the last bit. Another processor rounds the last digit differently. Over
# hundreds of steps that difference grows, and one run ends a few points higher or lower. So your computer shows
# other numbers than ours. The numbers of *your* runs are below your cells. The text speaks only of what held on every processor that we tried. (Those
# sentences are checked: `claim` stops the notebook if one fails.)

# %%
import os

import torch
from IPython.display import display

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import book_faces, book_run, claim, say
from eacbook.plots.figures import loss_histograms, training_curves
from eacbook.plots.pictures import attention_sheet, face_sheet, picture_grid, tensor_pictures
from eacbook.experiments.runs import summary_table

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
faces = book_faces()  # 1,500 to train, 700 to test, 350 for validation
noisy = eb.inject_noise(faces.train.labels, rate=0.3, num_classes=7, kind="symmetric", seed=0)
print(int(noisy.wrong.sum()), "of", len(noisy.given), "training labels are wrong")

# %% [markdown]
# Here are sixteen training faces with the labels that the network gets. A frame marks a wrong label, and the
# true label is below it. The network sees neither the frame nor the true label. **Predict**: you must learn
# what each label means, from such pictures and labels alone. Would the wrong labels mislead you? And what would
# you do with a face that looks like none of the others with its label?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "misled by labels", guess)

first = slice(0, 16)
labels = noisy.given[first], noisy.true[first]
show(face_sheet(faces.train.images[first], *labels, faces.classes, cell=76))

# %% [markdown]
# ## The baseline
#
# The baseline uses plain cross-entropy. It makes the given label likely, whatever that label is.
#
# **Predict.** Sketch two curves over 30 epochs before you run the next cell. The first is the share of *test*
# faces that the network recognises. The second is the share of the *wrong* training labels that it predicts
# as given. Do both rise? Do they rise together? To what height?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "two curves", guess)


def run_of(method, seed=0, **recipe):
    """Train (or find) a method. `book_run` makes 30 % wrong with this seed: with 0 as in `noisy`."""
    return book_run(method, faces, seed, folder=RUNS, **recipe)


baseline = run_of(eb.Baseline())
training_curves({"baseline": baseline})

# %% [markdown]
# The training has two phases. First the network learns what faces have in common. The wrong labels do not
# fit: it predicts them about as often as by chance (one in seven). Often it predicts the true class of these faces instead. The learning rate rises for a
# third of the epochs and then falls to nothing. While it falls, the network learns the exceptions, too: one
# by one, it **memorises** the wrong labels. New faces gain nothing by memorising. (Their accuracy may still rise at the end:
# the network goes on learning from the right labels. Notebook 6 shows how far it would get without wrong ones.) The
# accuracy on them changes much
# from epoch to epoch while the learning rate is high. So a single epoch says little.
#
# Two numbers describe the end. *Memorised* is the share of the wrong labels that the network predicts as
# given. *Recovered* is the share for which it predicts the true class in spite of the label. The **test
# accuracy** is the mean of the last five epochs, as in the paper. The table also has the accuracy of the *best epoch*. Do
# not report that one: you would have chosen it with the test set. **Predict**: do *memorised* and *recovered* add
# up to 100 %? What would the rest be?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "memorised and recovered", guess)

summary_table({"baseline": baseline})

# %%
claim(
    "The baseline memorised more than half of the wrong labels.",
    baseline.summary["memorised"],
    above=0.5,
)
claim(
    "After a third of the epochs it had memorised few of them.",
    baseline.rows[9]["memorised"],
    below=0.3,
)
claim(
    "In some epoch of the first two thirds it recognised about as many test faces as at the end.",
    baseline.history["test_accuracy"][:20].max() - baseline.summary["test_accuracy"],
    above=-0.05,
)

# %% [markdown]
# ### Exercise 1: stop in time
#
# The network memorises last, so you could stop before that. But when? You must not use the test faces to
# decide. The validation split has 350 faces with *clean* labels for such choices. Their accuracy after each
# epoch is in `baseline.history["validation_accuracy"]`. `history` is a table (of the library pandas) with a row for each
# epoch. The rows are named 1 to 30, and `.idxmax()` gives the name of the row with the largest value. Which epoch has
# the highest accuracy? **Predict**: in which third of the training is it?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "validation's choice", guess)

from eacbook.book.exercises import check_best_epoch

history = baseline.history
# <solution> epoch = ...
epoch = history["validation_accuracy"].idxmax()
# </solution>
check_best_epoch(epoch, history)

# %% [markdown]
# At the end of the notebook this choice is a rival of EAC. It has a price: somebody had to get the
# labels of 350 faces right. It is also uncertain. An accuracy on 350 faces is easily wrong by a few points.
# So it cannot separate two epochs that differ by less.
#
# ## What EAC does
#
# EAC (Zhang, Wang, Ling and Deng, ECCV 2022) changes three things. We look at each of them on the tensors of
# the first batch. `batches` gives exactly what the training loop gets. In each step, EAC shows every face
# to the network twice: as it is, and mirrored. Each of these two *views* is also changed at random. **Predict**: in
# which ways can the two views differ?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "two views", guess)

from eacbook.augment.erasing import RandomErasing
from eacbook.training.recipe import Recipe
from eacbook.training.batches import batches

batch = next(batches(faces, noisy, Recipe(seed=0), epoch=0))
original = batch.original(RandomErasing())
mirrored = batch.mirrored(RandomErasing())
print("two views:", tuple(original.shape), tuple(mirrored.shape))
rows = {
    "stored": batch.images[:8],
    "original view": tensor_pictures(original[:8]),
    "mirrored view": tensor_pictures(mirrored[:8]),
}
show(picture_grid(rows))

# %% [markdown]
# **1. Erasing.** Half of the views lose a random rectangle. A network may try to remember *this one picture*
# by a detail, but the detail is not always there. The two views are erased separately. (Half of the originals
# also get a little camera noise. The baseline sees the same original views, mirrored at random. So
# it does not lose because its pictures were changed less.)
#
# **2. The mirrored view.** A mirrored face shows the same expression. A network that has understood the face
# looks at the same places of the face in both views. A network that remembers a picture has no reason to. The **class
# activation map** says how much each place raises the logit of a class. The last features of the network
# still have 6 x 6 places. At each place, the classifier's weights $W$ are applied to the $C$ features $F$.
# This happens before the average over the places, which gives the logits. Check it: is the mean of the maps
# plus the bias the logit (but for rounding)?
#
# $$M_k(x, y) = \sum_c W_{kc}\, F_c(x, y), \qquad \text{logit}_k = \text{mean}_{x,y}\, M_k + b_k .$$

# %%
with torch.inference_mode():
    logits, maps = baseline.network.cpu()(original)
print("maps:", tuple(maps.shape))
from_maps = maps.mean((2, 3)) + baseline.network.fc.bias
print("mean of the maps + bias = logits:", torch.allclose(from_maps, logits, atol=1e-4))

# %% [markdown]
# EAC adds a second term to the loss. It takes the map of the mirrored view and mirrors it back. The result
# should equal the map of the original:
#
# $$L = \underbrace{\text{CE}(\text{logits of the original},\ \text{label})}_{\text{the label is used only here}} + \lambda \cdot \text{mean}\Big[\big(M - \text{flip}(M')\big)^2\Big] .$$
#
# Here $M$ are the maps of the original and $M'$ those of the mirrored view. The mean is taken over faces, classes and
# places. The number $\lambda$, in the code `weight`, says how much the agreement counts. We take 1.5; the section "What the
# weight does" says why.
#
# **3. The imbalanced framework.** Only the *original* view uses the label. The mirrored view has no label to
# fit. Its maps only have to agree. Suppose that the network fits a wrong label with features that differ in
# the mirrored, differently erased face. Then the second term rises. If the network does not fit the label,
# the first term rises. That makes memorising harder, but not impossible. The second term sends its gradient
# to the features of both views. It sends none to the classifier. For that, `network` uses $W$ twice. For the logits it is
# trained, by the cross-entropy. For the maps it is *detached*: a copy that counts as a constant. The numbers are the same, and the
# gradients are not. So the network cannot lower the term by shrinking the classifier's weights.
#
# ### Exercise 2: flip consistency
#
# Write the second term. The input is the maps `[B, K, h, w]` of the original and of the mirrored view. The
# output is one number. (PyTorch has no `[::-1]`: `tensor.flip(axis)` turns an axis around.)

# %%
from eacbook.book.exercises import check_flip_consistency


def my_flip_consistency(maps, maps_of_mirror):
    # <solution>
    return ((maps - maps_of_mirror.flip(-1)) ** 2).mean()
    # </solution>


check_flip_consistency(my_flip_consistency)

# %% [markdown]
# ### The training step, in full sight
#
# Everything is there now. The next cell trains EAC for one epoch: two views, two passes,
# cross-entropy, flip consistency, `backward`, step. Then `eb.train` does the same. A `Recipe` holds the settings of a training, such
# as the size of a batch and the learning rate. `build_network` takes seed 0, if you give no other, so both networks
# start from the same weights. If your function is right, the step uses it; otherwise it uses ours. With ours, both
# trainings give the same network. Yours may add the same numbers in another order. That changes the last digits, and
# every step makes such a difference larger. Then the two networks may disagree on one face in ten. **Predict**: which
# lines of the step would you remove or change to get the baseline without mirrored faces? And where does the label come in?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "the step", guess)

import math

from torch.nn import functional

from eacbook.book.exercises import yours_or_ours
from eacbook.methods.eac import flip_consistency
from eacbook.training.optimizer import Adam, build_scheduler

consistency_of = yours_or_ours(
    my_flip_consistency, flip_consistency, check_flip_consistency
)


def train_one_epoch(network, weight, recipe):
    """One epoch of EAC."""
    steps = math.ceil(len(faces.train) / recipe.batch_size)
    # Adam is torch's. Weight decay pulls all weights a little towards 0.
    optimizer = Adam(
        network.parameters(),
        recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,  # faster
    )
    scheduler = build_scheduler(optimizer, recipe, batches_per_epoch=steps)
    # Batch normalisation now takes the mean and the spread of each batch.
    network.train()
    for number, batch in enumerate(batches(faces, noisy, recipe, epoch=0), 1):
        original = batch.original(RandomErasing())
        mirrored = batch.mirrored(RandomErasing())
        logits, maps = network(original)
        _, maps_of_mirror = network(mirrored)
        cross_entropy = functional.cross_entropy(logits, batch.labels)
        consistency = consistency_of(maps, maps_of_mirror)
        loss = cross_entropy + weight * consistency
        optimizer.zero_grad()  # forget the gradients of the last step
        loss.backward()
        optimizer.step()
        scheduler.step()  # the learning rate of the next step
        if number % 8 == 0:
            print(f"step {number}: cross-entropy {cross_entropy:.2f}", end=" ")
            print(f"+ {weight} x consistency {consistency:.3f} = {loss:.2f}")
    return network


one_epoch = Recipe(epochs=1, seed=0)
by_hand = train_one_epoch(eb.build_network("tiny", num_classes=7), 1.5, one_epoch)
network = eb.build_network("tiny", num_classes=7)
by_train = eb.train(eb.EAC(weight=1.5), network, faces, noisy, epochs=1, seed=0)

# %% tags=["nbval-ignore-output"]
from eacbook.evaluation.evaluate import predict

both = [predict(network, faces.test.images) for network in (by_hand, by_train.network)]
apart = float((both[0] - both[1]).abs().max())
alike = float((both[0].argmax(1) == both[1].argmax(1)).double().mean())
say(f"The logits of the two networks differ by at most {apart:.4f}. They predict the same class for {alike:.0%} of the test faces.")

# %%
claim("After one epoch the two networks predict the same class for most test faces.", alike, above=0.7)

# %% [markdown]
# So `eb.train` does what these lines do. The losses hardly fall, and may rise: the learning rate went up and down
# within this one epoch, which is too short to learn. Here only the parts count. The
# [loop of `eb.train`](https://github.com/eacbook/eacbook/blob/main/eacbook/training/loop.py) is one screen long. It calls
# the method for the loss (`eacbook/methods/eac.py`), and *hooks*: objects that watch and save. To get the baseline, drop
# the mirrored view, its pass and the second term. (The book's baseline also mirrors half of its faces at random.) The
# label comes in once, in the cross-entropy.
#
# **Predict.** EAC gets the same faces, the same wrong labels and the same stream of batches. Add its curves
# to your sketch. Will its cross-entropy with the *training* labels end lower or higher than the baseline's?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "EAC's curves", guess)

eac = run_of(eb.EAC())
pair = {"baseline": baseline, "eac": eac}
display(summary_table(pair))
training_curves(pair)

# %% tags=["nbval-ignore-output"]
end_of_baseline, end_of_eac = baseline.rows[-1]["loss"], eac.rows[-1]["cross_entropy"]
say(f"Cross-entropy with the training labels in the last epoch: baseline {end_of_baseline:.2f} nats, EAC {end_of_eac:.2f} nats.")

# %%
claim(
    "EAC memorised less than half as many wrong labels as the baseline.",
    eac.summary["memorised"] / baseline.summary["memorised"],
    below=0.5,
)
claim(
    "Its cross-entropy with the training labels ended higher.",
    end_of_eac - end_of_baseline,
    above=0,
)

# %% [markdown]
# The training loss is higher, and yet the network is better? Look at the losses of the single training faces
# at the end. The figure separates right labels from wrong ones.
#
# **Predict.** Where are most of the wrong labels, for the baseline and for EAC? Suppose that you suspect the
# 450 labels with the largest losses. That is as many as there are wrong labels. How many of the suspects
# would be wrong?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "largest losses", guess)

from eacbook.evaluation.evaluate import predict, sample_losses

losses = {
    name: sample_losses(predict(run.network, faces.train.images), noisy.given)
    for name, run in pair.items()
}
found, far = {}, {}
for name, loss in losses.items():
    found[name] = float(noisy.wrong[loss.argsort(descending=True)[:450]].double().mean())
    far[name] = float((loss[noisy.wrong] > 1).double().mean())
    say(f"**{name}**: {found[name]:.0%} of the 450 largest losses belong to wrong labels. {far[name]:.0%} of the wrong labels have a loss above 1 nat.")
loss_histograms(losses, noisy.wrong)

# %%
claim(
    "More wrong labels keep a loss above 1 nat under EAC than under the baseline.",
    far["eac"] - far["baseline"],
    above=0.1,
)
claim("EAC's largest losses also contain more wrong labels.", found["eac"] - found["baseline"], above=0)

# %% [markdown]
# The baseline has moved many of the wrong labels to the left, among the right ones. A long tail remains.
# Under EAC most wrong labels stay on the right, and so does a part of the right ones: EAC is less confident
# of everything. To separate wrong labels from right ones by the loss at the end, EAC's loss is the better
# hint. Notebook 4 is about that.
#
# Now look at the maps of *test* faces and of their mirror images. The colour shows the positive part of the
# map of the true class. Each map is scaled to its own maximum. There it is pale yellow.
# Half of the maximum is red, and less is dark. Where the map is 0, you see the face alone. **Predict**: for which method will the second
# map be closer to the mirror image of the first?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "mirrored maps", guess)

from eacbook.book.report import maps_of_true_class

labels = faces.test.labels
rows = torch.stack([(labels == label).nonzero()[0, 0] for label in (0, 2, 3, 5)])
captions = [faces.classes[label] for label in labels[rows]]
maps = maps_of_true_class(faces, pair, rows)
show(attention_sheet(faces.test.images[rows], maps, captions))

# %% [markdown]
# A few faces prove nothing. Each map has its own scale, so a weak map looks as strong as another one. Some faces
# have odd maps, at the hair or at an edge. Even if both views agree, the place may be a bad one. And for some
# faces EAC's two maps do not agree: look for one. Notebook 3 measures the distance between the maps over many faces.
#
# ## One seed is not enough
#
# Another seed draws other wrong labels, other initial weights and another order. The faces stay the same. The
# next cell trains three seeds and shows the spread (standard deviation) between them. **Predict**: how many
# points will the seeds of one method differ? Is that less than the difference between the methods?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "three seeds", guess)

import pandas as pd

quantities = ["test_accuracy", "memorised", "recovered"]


def spread_table(results):
    """Mean and standard deviation over the seeds; results: name to a list of figures."""
    tables = {name: pd.DataFrame(list(runs))[quantities].agg(["mean", "std"]).T for name, runs in results.items()}
    return pd.concat(tables, axis=1).map("{:.1%}".format)


seeds = {
    "baseline": [run_of(eb.Baseline(), seed).summary for seed in (0, 1, 2)],
    "eac": [run_of(eb.EAC(), seed).summary for seed in (0, 1, 2)],
}
gains = [b["test_accuracy"] - a["test_accuracy"] for a, b in zip(seeds["baseline"], seeds["eac"])]
by_seed = [f"{run['test_accuracy']:.0%}" for run in seeds["eac"]]
display(spread_table(seeds))
say(f"EAC is ahead by {', '.join(f'{100 * gain:.1f}' for gain in gains)} points with the seeds 0, 1 and 2.")
say(f"EAC itself reaches {', '.join(by_seed)}.")

# %%
claim("EAC recognises more test faces than the baseline with each of the three seeds.", min(gains), above=0)
fewer = [a["memorised"] - b["memorised"] for a, b in zip(seeds["baseline"], seeds["eac"])]
claim("It memorises fewer wrong labels with each of them.", min(fewer), above=0.2)

# %% [markdown]
# Every seed says the same, but *how much* EAC gains differs widely: see the numbers above. If you try one
# seed, you report one of these gains, and you do not know which.
#
# ## What the weight does
#
# The paper's weight is 5, for a ResNet that was pretrained on millions of faces. Our network is small and
# trained from scratch. Its maps have another scale, and the squared difference grows with the square of that
# scale. So the same weight means something else for every network. You must choose it, with faces that are
# not the test faces. We chose ours on clean validation faces. It is 1.5 and belongs to the network:
# `eb.EAC()` takes it from there.
#
# **Predict.** What happens at weight 0? And with a weight that is far too large?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "weight 0", guess)

variants = {
    "baseline": eb.Baseline(),
    "EAC": eb.EAC(),
    "weight 0": eb.EAC(weight=0),
}
ablation = {}
for name, method in variants.items():
    run = run_of(method)
    last = run.history["validation_accuracy"].tail(5).mean()
    ablation[name] = {"validation": last, **{key: run.summary[key] for key in quantities[1:]}}
pd.DataFrame(ablation).T.map("{:.1%}".format)

# %%
claim("Without the second term nearly all wrong labels are memorised.", ablation["weight 0"]["memorised"], above=0.9)
claim(
    "EAC recognises more of the validation faces than erasing alone.",
    ablation["EAC"]["validation"] - ablation["weight 0"]["validation"],
    above=0,
)

# %% [markdown]
# Weight 0 leaves erasing alone. It does not prevent memorising: in the table it memorises more than the baseline.
# Unlike the baseline, it never learns from a mirrored face. So this table cannot say how much of EAC's gain comes from mirrored faces, and how much from the agreement. The
# *ablation* in notebook 6 (a study that removes one part at a time) separates the two.
#
# A larger weight hinders more of the learning, both of wrong and of right labels. We compared our weight with twice
# that weight, on all 3,000 synthetic faces and three seeds. Twice our weight memorises 5.6 instead of 7.4 %
# of the wrong labels. But it recognises 85.6 ± 0.8 instead of 89.9 ± 1.8 % of the *validation* faces. (The
# command is `eacbook table --noise 0.3 --methods eac:weight=1.5 eac:weight=3`.) Add
# `"weight x 5": eb.EAC(weight=7.5)` and run the cell again (a minute or two). It memorises little, and it recognises fewer faces than with our weight. A weight that is far too large buys agreement
# with flat maps, because the easiest way to be consistent is to say little. What do erasing and the
# imbalanced framework add? Try `eb.EAC(erasing=False)` and `eb.EAC(labels_on_both_views=True)`. Remember that one seed cannot
# separate a small difference from chance.
#
# ## A fair rival: stopping early
#
# The baseline memorises late, so you could stop it before. There are two ways:
#
# * **stopped by validation**: the epoch of exercise 1, chosen on 350 *clean* faces.
# * **a short schedule**: the same warm-up and annealing in a third of the epochs.
#
# We judge each of them in the epoch in which it ends, so we judge the others in that way here, too.
# **Predict.** Does either of the two come near EAC? What would you need to know to use it on real data?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("02", "stopping early", guess)


def at_epoch(run, epoch):
    """The figures of a run as if it had ended there."""
    return run.history.loc[epoch, ["test_accuracy", "memorised", "recovered"]]


ends = {"baseline": [], "stopped by validation": [], "short schedule": [], "eac": []}
for seed in (0, 1, 2):
    long, short = run_of(eb.Baseline(), seed), run_of(eb.Baseline(), seed, epochs=10)
    ends["baseline"].append(at_epoch(long, 30))
    ends["stopped by validation"].append(at_epoch(long, long.history["validation_accuracy"].idxmax()))
    ends["short schedule"].append(at_epoch(short, 10))
    ends["eac"].append(at_epoch(run_of(eb.EAC(), seed), 30))
stopped = [f"{end['test_accuracy']:.0%}" for end in ends["stopped by validation"]]
display(spread_table(ends))
say(f"*Stopped by validation* reaches {', '.join(stopped)} with the seeds 0, 1 and 2.")

# %%
accuracy, memorised = (
    {name: sum(end[quantity] for end in of_seeds) / 3 for name, of_seeds in ends.items()}
    for quantity in ("test_accuracy", "memorised")
)
claim(
    "On average EAC recognises more test faces than either way of stopping early.",
    accuracy["eac"] - max(accuracy["stopped by validation"], accuracy["short schedule"]),
    above=0.02,
)
claim(
    "But the short schedule memorises about as few wrong labels as EAC, or fewer.",
    memorised["short schedule"] - memorised["eac"],
    below=0.02,
)

# %% [markdown]
# Stopping early helps less than you may hope. *Stopped by validation* must choose. While the learning rate
# is still high, the epochs differ widely, and 350 validation faces cannot tell neighbours apart. By the chosen epoch, a
# part of the wrong labels may be memorised already. The *short schedule* anneals before the network can memorise, in a
# third of the time.
#
# Now compare that schedule with EAC. It memorises about as little, and it recognises fewer of the test faces. So
# avoiding memorising is only half of the work. The other half is to go on learning, and ten epochs are few.
# (We did not look for the best length. Try `epochs=20`, with `at_epoch(short, 20)`.) EAC learns for thirty
# epochs and does not memorise much. Nobody has to decide when it stops. It costs time (two views a step), and
# it needs a weight that suits the network. Somebody must choose that weight, too. And a part of its gain may
# have nothing to do with wrong labels. Agreement of the two views could help with right labels as well.
#
# **Open questions** (the [page for
# teachers](https://github.com/eacbook/eacbook/blob/main/docs/teaching.md#open-questions) has answers):
#
# * How would you find out whether a part of EAC's gain has nothing to do with wrong labels?
# * Suppose that the *validation* labels are noisy, too. With symmetric noise they still rank the epochs correctly, on
#   average. Why? And with pair noise?
#
# ## Quiz

# %%
quiz("02")

# %% [markdown]
# ## Take away
#
# * Networks learn what is common first and memorise exceptions last. *New* faces gain nothing by memorising.
# * EAC makes memorising expensive. Whatever explains a wrong label in one view must agree with what the
#   network finds in the mirrored, separately erased one. So EAC can go on learning where the baseline
#   memorises.
# * Report the mean of the last epochs, over seeds, with the spread. Put a fair rival beside your method.
#
# **Back**: [1 · Label noise](01_label_noise.ipynb). **Next**: [3 · Attention](03_attention.ipynb) shows where
# the two networks look. (`make demo` trains the same pair on more faces and writes a report. Do you have real
# faces? [8 · Real faces](08_real_faces.ipynb) needs only notebooks 2 and 3.)
