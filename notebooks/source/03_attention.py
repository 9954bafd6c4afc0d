# %% [markdown]
# # 3 · Attention
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/03_attention.ipynb)
#
# **You will learn** where a network looks when it decides, how that changes while it memorises, what
# Erasing Attention Consistency (EAC) does to it, and how to measure instead of pointing at a pretty map.
#
# **You need** [notebook 2](02_baseline_vs_eac.ipynb). **Time**: 30 minutes of reading and trying; the
# computer finds the runs of notebook 2, or trains for about 4 minutes on 2 CPU cores (1 minute on a GPU).

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Two trainings that were watched
#
# The same pair as in notebook 2: 1,500 drawn faces, 30 % of the labels wrong. While they were trained, a
# hook recorded 400 of the training faces after every epoch: their features, their logits, and where the
# network looked; for 28 of them, the *probes*, in the mirror image, too. So we can go back in time.

# %% tags=["nbval-ignore-output"]
import os

import torch
from IPython.display import Image, display

import eacbook as eb
from eacbook.book import book_faces, book_run
from eacbook.methods.eac import WEIGHTS
from eacbook.recording import Recorded

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
METHODS = {"baseline": eb.Baseline(), "eac": eb.EAC(weight=WEIGHTS["tiny"])}
faces = book_faces()
runs = {name: book_run(method, faces, seed=0, folder=RUNS) for name, method in METHODS.items()}
recorded = {name: Recorded.of(run) for name, run in runs.items()}

# %%
watched = recorded["baseline"]
print("features of the watched faces: ", tuple(watched.features.shape), "epochs, faces, channels")
print("maps of the probes:            ", tuple(watched.maps.shape), "epochs, probes, classes, height, width")
print("watched faces with a wrong label:", int(watched.flipped.sum()), "of", len(watched.rows))

# %% [markdown]
# ## What a class activation map is
#
# Just before it decides, our network has $C = 64$ feature maps $F_c$ of 6 x 6 places. It takes the mean of
# each, multiplies by the classifier's weights $W$ and adds a bias. Nothing forbids doing it the other way
# round: first multiply, *then* take the mean. What stands between the two steps is the **class activation
# map** (Zhou et al., CVPR 2016): how much each place speaks for class $k$,
#
# $$M_k(x, y) = \sum_c W_{kc}\, F_c(x, y).$$
#
# **Predict.** For one face, how many numbers are that? Can they be negative, and what would it mean?
#
# ### Exercise 1: class activation maps
#
# Write the formula: `features` `[B, C, h, w]` and `weights` `[K, C]` in, maps `[B, K, h, w]` out.
# (`torch.einsum` reads almost like the formula.)

# %%
from eacbook.exercises import check_class_activation_maps


def my_class_activation_maps(features, weights):
    # <solution>
    return torch.einsum("kc,bchw->bkhw", weights, features)
    # </solution>


check_class_activation_maps(my_class_activation_maps)

# %% [markdown]
# Here it is from its definition, for a training face with a wrong label, beside what the network hands
# out itself. A negative value speaks *against* the class. (The pictures of this notebook show the positive
# part.)

# %%
from eacbook.augment import normalise

network = runs["baseline"].network.cpu()
row = watched.rows[1]  # a probe with a wrong label
image = faces.train.images[row]
with torch.inference_mode():
    features = network.backbone(normalise(image[None]))
    maps = torch.einsum("kc,bchw->bkhw", network.fc.weight, features)
    logits, same_maps = network(normalise(image[None]))
print("features:", tuple(features.shape), " maps:", tuple(maps.shape))
print("the network's own maps are these:   ", torch.allclose(maps, same_maps, atol=1e-4))
print("their mean + bias are the logits:   ", torch.allclose(maps.mean((2, 3)) + network.fc.bias, logits, atol=1e-4))

# %% [markdown]
# ### Grad-CAM, the cousin
#
# Grad-CAM (Selvaraju et al., ICCV 2017) works for any architecture: it asks by how much the logit of the
# class rises with each feature map, averages that gradient over the places, and uses it as the weight. It
# must catch the features on their way through the network: a *hook*, which PyTorch takes away again at the
# end of the `with` block, whatever happens in it.
#
# **Predict.** Our classifier is linear in the mean of each feature map. What is the gradient of
# logit $k$ with respect to $F_c(x, y)$? So how will Grad-CAM's map differ from the class activation map?

# %%
def grad_cam(network, view, label):
    """Grad-CAM of one view [1,3,H,W] for a class: ReLU of the features weighted by their gradients."""
    caught = []
    with network.backbone.register_forward_hook(lambda module, inputs, output: caught.append(output)):
        logits, _ = network(view)
    (gradient,) = torch.autograd.grad(logits[0, label], caught[0])
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * caught[0]).sum(1)[0].relu().detach()


label = runs["baseline"].noisy.given[row]
of_gradients = grad_cam(network, normalise(image[None]), label)
ratio = (maps[0, label].relu() / of_gradients)[of_gradients > 1e-4]
print(f"CAM / Grad-CAM: {ratio.mean():.3f} in every place, from {ratio.min():.3f} to {ratio.max():.3f}")

# %% [markdown]
# The same picture, 36 times smaller: the gradient of a mean over 6 x 6 places is $W_{kc} / 36$. For a
# network that ends in global average pooling and one linear layer the two agree exactly; for others only
# Grad-CAM exists.

# %%
from eacbook.attention import heat
from eacbook.pictures import face_picture, overlay, png, side_by_side

both = heat(torch.stack([maps[0, label], of_gradients]), 160)
face = face_picture(image, 160)
pictures = [face, *(overlay(face, values) for values in both)]
print("a face; its class activation map for the given label; its Grad-CAM")
display(Image(png(side_by_side(*pictures))))

# %% [markdown]
# ## Explore
#
# Choose a face by its thumbnail (framed: its label is wrong), then slide the epochs (arrow keys work).
# Each network has a column: its attention on the face, on the mirror image, and the latter flipped
# back onto the face, which should look like the first. The number says how much they differ: the mean
# squared difference of all seven maps, in units of their variance. 0: the attention follows the mirror
# exactly; 2: it has nothing to do with it. EAC's second term pushes it down; the baseline knows nothing
# of mirrors except that it sees some faces flipped.
#
# **Predict, then try:**
#
# 1. A face with a *right* label: where does the baseline look in epoch 3, and where in epoch 30?
# 2. A face with a *wrong* label: in which epoch does the baseline begin to say the wrong one? Does its
#    attention change there?
# 3. Choose *the true class* as the map for such a face. Is it still there at the end, in either network?

# %% tags=["nbval-ignore-output"]
from eacbook.widgets import AttentionExplorer

explorer = AttentionExplorer(faces, runs)
explorer.pick(1)
explorer

# %%
before = explorer.picture.value
explorer.epoch.value = 5
assert explorer.picture.value != before, "the picture follows the epoch"
explorer.shown.value = "the true class"
explorer.epoch.value = explorer.epoch.max
print("The explorer follows its controls.")

# %% [markdown]
# Any stored run of the same labels can be compared. In notebook 2 a run with *weight 0* was trained: erasing
# alone. If you have it, `AttentionExplorer(faces, runs | {"weight 0": book_run(eb.EAC(weight=0), faces, folder=RUNS)})`
# sets it beside the others.
#
# ## From one face to many
#
# One face proves nothing. Here is the difference between the maps of face and mirror image over all
# probes, those with right and those with wrong labels apart, mean and range of three seeds.
#
# **Predict** both curves of both methods. In particular: will the baseline's *rise* while it memorises?

# %% tags=["nbval-ignore-output"]
from eacbook.attention import relative_difference
from eacbook.figures import epoch_curves

SEEDS = (0, 1, 2)
watched = {
    name: [Recorded.of(book_run(method, faces, seed, folder=RUNS)) for seed in SEEDS]
    for name, method in METHODS.items()
}


def right_and_wrong(quantity):
    """For each method the mean of a quantity [epochs, faces] over right and over wrong labels, per seed."""
    panels = {}
    for name, records in watched.items():
        values = [quantity(record) for record in records]
        flipped = [record.flipped[: value.shape[1]] for record, value in zip(records, values)]
        panels[name] = {
            "right labels": torch.stack([v[:, ~f].nanmean(1) for v, f in zip(values, flipped)]),
            "wrong labels": torch.stack([v[:, f].nanmean(1) for v, f in zip(values, flipped)]),
        }
    return panels


differences = right_and_wrong(lambda record: relative_difference(record.maps, record.maps_of_mirror))
epoch_curves(differences, "difference of the maps / variance", percent=False)

# %%
end = {name: {label: float(v[:, -1].mean()) for label, v in lines.items()} for name, lines in differences.items()}
assert end["eac"]["wrong labels"] < end["baseline"]["wrong labels"] / 3
assert end["baseline"]["wrong labels"] > 0.3
print("At the end EAC's maps follow the mirror, the baseline's do not.")

# %% [markdown]
# EAC's maps agree with their mirror images almost from the start: that is what it is trained for, so it
# proves only that the training works. The baseline's differ by half of their variance, and they differ
# *more* when it begins to memorise than before: it finds details that are on one side of the picture.
#
# ## Does memorising look at less of the face?
#
# The idea behind EAC, in the paper's words: a network that memorises a sample remembers it *by a part of
# the features*. On drawn faces this can be measured, because we know where brows, eyes, nose and mouth
# are. We ask of each map of the *given* label: which share of the positive attention lies inside them?

# %%
from eacbook.pictures import picture_grid
from eacbook.synthetic import REGIONS

some = watched["baseline"][0].rows[:8]
masks = faces.train.drawn.region_masks(some)
inside = masks.any(1, keepdim=True)
images = faces.train.images[some]
print("regions:", ", ".join(REGIONS), f"- together {inside.float().mean():.0%} of these pictures")
display(Image(png(picture_grid({"face": images, "regions": torch.where(inside, images, images // 4)}))))

# %% [markdown]
# ### Exercise 2: a score for attention
#
# Write the share: `attention` `[h, w]` (not negative) and `inside` `[h, w]` (which part of each place lies
# in a region, 0 to 1) in, one number out.

# %%
from eacbook.exercises import check_region_share


def my_region_share(attention, inside):
    # <solution>
    return (attention * inside).sum() / attention.sum()
    # </solution>


check_region_share(my_region_share)

# %% [markdown]
# A map that looks at everything alike would score as much as the regions cover. **Predict.** For the
# baseline at the end: do wrong labels (memorised by then, nearly all) score lower than right ones? And for
# EAC, which memorised few of them?

# %% tags=["nbval-ignore-output"]
from eacbook.attention import region_share


def score(record):
    return region_share(record.attention, faces.train.drawn.region_masks(record.rows).any(1))


scores = right_and_wrong(score)
covered = float(faces.train.drawn.region_masks(watched["eac"][0].rows).any(1).float().mean())
epoch_curves(scores, "share of the attention inside", level=("regions cover", covered))

# %% tags=["nbval-ignore-output"]
import pandas as pd


def at(epoch, panels):
    """Mean and standard deviation over the seeds after an epoch, as texts."""
    return pd.DataFrame(
        {
            name: {label: f"{v[:, epoch - 1].mean():.1%} ± {v[:, epoch - 1].std():.1%}" for label, v in lines.items()}
            for name, lines in panels.items()
        }
    )


pd.concat({f"epoch {epoch}": at(epoch, scores) for epoch in (10, 20, 30)})

# %%
at_end = {name: {label: v[:, -1] for label, v in lines.items()} for name, lines in scores.items()}
middle = scores["baseline"]["wrong labels"][:, 9] < scores["baseline"]["right labels"][:, 9]
gap = at_end["baseline"]["right labels"] - at_end["baseline"]["wrong labels"]
assert middle.all() and gap.abs().max() < 0.08
assert (at_end["eac"]["wrong labels"] < at_end["eac"]["right labels"]).all()
print("In the middle wrong labels score lower; at the end the baseline has nearly closed the gap, EAC has not.")

# %% [markdown]
# ### What came out
#
# Was the claim true? Not in this simple form, here.
#
# * **While it is learning** (about epoch 10), the map of a *wrong* label lies less on brows, eyes, nose and
#   mouth than the map of a right one, hardly more than chance: what could explain a wrong label is not
#   in the face, so the network does not find it there.
# * **Having memorised**, the baseline's maps of wrong labels look like those of right ones: about as much on the
#   features and about as wide. By this measure a memorised label is *not* told by its attention.
# * **EAC** keeps the difference: its maps of wrong labels stay off the features, and those of right
#   labels are wide, over the whole face. It does not score higher than the baseline for right labels. To look
#   at everything alike is one way of agreeing with one's mirror image.
#
# What the measure cannot see: 6 x 6 places are coarse, each sees beyond its square, and where a network looks is
# not *what* it takes from there. The mirror test of the last section finds the difference that this one does
# not: the memorising network uses details that the mirror image does not have in the same place.
#
# ## How wide is the look?
#
# A second way to ask: over how many of the 36 places is the attention spread? (The exponential of the entropy of
# the map: 36 for an even one, 1 for a single place.) **Predict** from what you saw in the explorer.

# %% tags=["nbval-ignore-output"]
def places(record):
    shares = record.attention.flatten(2)
    shares = shares / shares.sum(-1, keepdim=True)
    return torch.special.entr(shares).sum(-1).exp()


widths = right_and_wrong(places)
epoch_curves(widths, "places attended, of 36", level=("all places", 36.0), percent=False)

# %% [markdown]
# So *in the middle* of the training the claim does hold, for both methods: the labels that are wrong are
# looked up in fewer places. Then the baseline memorises and its look widens, while EAC's stays narrow for
# the wrong labels that it refuses.
#
# ## Your own face
#
# Load a photograph of a face into the explorer above (*your own face*), or run the next cell with a file of
# yours. It is cropped to the face and made as small as the drawn ones. Nothing leaves this computer (in Colab:
# the computer that runs your notebook). **Predict** what a network makes of you that has never seen
# a photograph.

# %%
from pathlib import Path

photograph = Path("my_face.jpg")  # put a file of yours here
if photograph.exists():
    explorer.take_photo(photograph.read_bytes())
    display(Image(explorer.picture.value))
else:
    print("no file", photograph, "here: the explorer's button takes one, too")

# %% [markdown]
# It was trained on 1,500 drawings; do not take its verdict to heart. With FERPlus (the project's README) the same
# explorer shows networks that have seen photographs.
#
# ## Take away
#
# * A **class activation map** is the classifier applied before the mean; for such a network Grad-CAM is
#   the same map.
# * The difference between the maps of a face and of its mirror image, **relative to their variance**, tells a
#   memorising network from one trained with EAC.
# * A pretty map is no evidence. Measured against masks, "memorised samples are remembered by a part of the
#   features" held here while the network was learning, and no longer at the end.
#
# **Back**: [2 · Baseline against EAC](02_baseline_vs_eac.ipynb). **Next**: [4 · Losses](04_losses.ipynb):
# finding the wrong labels by their loss.
