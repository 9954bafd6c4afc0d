# %% [markdown]
# # 3 · Attention
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/03_attention.ipynb)
#
# **You will learn** where a network looks when it decides, and how that changes while it memorises. You will
# see what Erasing Attention Consistency (EAC) does to it. And you will measure it instead of trusting one
# pretty map.
#
# **You need** [notebook 2](02_baseline_vs_eac.ipynb). **Time**: about 75 minutes of reading and trying. The
# computer loads the runs of notebook 2, or trains for about 2 minutes on 2 CPU cores (65 seconds on an H100,
# while the other notebooks ran too).

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %% [markdown]
# ## Two recorded trainings
#
# This is the same pair as in notebook 2: 1,500 synthetic faces, 30 % of the labels wrong. A *hook* is a
# function that the training calls after every epoch. Here a hook recorded 400 of the training faces: their
# features, their logits, and where the network looked. For 28 of them, the *probes*, it also recorded where
# the network looked in the mirror image. So we can go back in time.

# %% tags=["nbval-ignore-output"]
import os

import torch
from IPython.display import display

import eacbook as eb
from eacbook.book.pictures import show
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import RATE, book_faces, book_run, claim, say
from eacbook.plots.pictures import face_sheet
from eacbook.training.recording import Recorded, choose_watched

RUNS = os.environ.get("EACBOOK_RUNS", "runs")  # where trained runs are kept
METHODS = {"baseline": eb.Baseline(), "eac": eb.EAC()}
faces = book_faces()

# %% [markdown]
# Half of the probes have a wrong label (framed), and every expression is among them. **Predict** for two or
# three of these faces. Where would *you* look to tell the expression? Suppose that a network only has to
# remember the wrong label of *this* picture. Where could it look?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "where to look", guess)

noisy = eb.inject_noise(faces.train.labels, RATE, 7, seed=0)
probes = choose_watched(noisy)[:28]
labels = noisy.given[probes], noisy.true[probes]
show(face_sheet(faces.train.images[probes], *labels, faces.classes, columns=7, cell=76))

# %% tags=["nbval-ignore-output"]
runs = {name: book_run(method, faces, seed=0, folder=RUNS) for name, method in METHODS.items()}
recorded = {name: Recorded.of(run) for name, run in runs.items()}

# %%
watched = recorded["baseline"]
print("features of the watched faces: ", tuple(watched.features.shape), "epochs, faces, channels")
print("maps of the probes:            ", tuple(watched.maps.shape), "epochs, probes, classes, h, w")
print("watched faces with a wrong label:", int(watched.wrong.sum()), "of", len(watched.rows))

# %% [markdown]
# ## What a class activation map is
#
# Just before it decides, our network has $C = 64$ feature maps $F_c$ of 6 x 6 places. It takes the mean of
# each map, multiplies by the classifier's weights $W$ and adds a bias. The order can also be reversed: first
# multiply, *then* take the mean. Between these two steps we find the **class activation map** (Zhou et al.,
# CVPR 2016). It says how much each place speaks for class $k$:
#
# $$M_k(x, y) = \sum_c W_{kc}\, F_c(x, y).$$
#
# **Predict.** How many numbers is that for one face? Can they be negative, and what would that mean?
#
# ### Exercise 1: class activation maps
#
# Write the formula. The input is `features` `[B, C, h, w]` and `weights` `[K, C]`. The output is the maps
# `[B, K, h, w]`. (`torch.einsum` reads almost like the formula.)

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "how many numbers", guess)

from eacbook.book.exercises import check_class_activation_maps


def my_class_activation_maps(features, weights):
    # <solution>
    return torch.einsum("kc,bchw->bkhw", weights, features)
    # </solution>


check_class_activation_maps(my_class_activation_maps)

# %% [markdown]
# The next cell takes a training face with a wrong label. It computes the map of the class that the network
# predicts, with your function if it is right. It compares the result with the map that the network itself returns. A
# negative value speaks *against* the class. (The pictures show the positive part, and each map is scaled to
# *its own* maximum. A bright spot is the strongest place of its map. It may still be weak, above all for a
# class that the network rejects.)

# %%
from eacbook.augment.normalise import normalise
from eacbook.book.exercises import yours_or_ours


def our_maps(features, weights):
    return (weights[None, :, :, None, None] * features[:, None]).sum(2)


maps_of = yours_or_ours(my_class_activation_maps, our_maps, check_class_activation_maps)
network = runs["baseline"].network.cpu()
row = watched.rows[1]  # a probe with a wrong label
image = faces.train.images[row]
with torch.inference_mode():
    features = network.backbone(normalise(image[None]))
    maps = maps_of(features, network.fc.weight)
    logits, same_maps = network(normalise(image[None]))
print("features:", tuple(features.shape), " maps:", tuple(maps.shape))
print("the network's own maps are these:   ", torch.allclose(maps, same_maps, atol=1e-3))
means = maps.mean((2, 3)) + network.fc.bias
print("their mean + bias are the logits:   ", torch.allclose(means, logits, atol=1e-3))

# %% [markdown]
# ### Grad-CAM, a related method
#
# Grad-CAM (Selvaraju et al., ICCV 2017) works for any architecture. It computes how much the logit of the
# class rises with each feature map. It averages that gradient over the places, and uses the average as the
# weight. To get the features while they pass through the network, it needs a *hook*. PyTorch removes the hook
# at the end of the `with` block, even after an error.
#
# **Predict.** Our classifier is linear in the mean of each feature map. What is the gradient of logit $k$
# with respect to $F_c(x, y)$? So how will Grad-CAM's map differ from the class activation map?

# %%
def grad_cam(network, view, label):
    """Grad-CAM of one view [1,3,H,W] for a class: ReLU of the features weighted by their gradients."""
    caught = []
    with network.backbone.register_forward_hook(lambda module, inputs, output: caught.append(output)):
        logits, _ = network(view)
    (gradient,) = torch.autograd.grad(logits[0, label], caught[0])
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * caught[0]).sum(1)[0].relu().detach()

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "gradient", guess)

label = int(logits.argmax())  # the class that the network predicts
of_gradients = grad_cam(network, normalise(image[None]), label)
print("CAM = 36 x Grad-CAM in every place:", torch.allclose(maps[0, label].relu(), 36 * of_gradients, atol=1e-3))

# %% [markdown]
# The map is the same, only 36 times smaller, because the gradient of a mean over 6 x 6 places is
# $W_{kc} / 36$. Some networks end in global average pooling and one linear layer. For these the two methods
# agree, up to that factor and the ReLU. For other networks only Grad-CAM exists.

# %%
from eacbook.evaluation.attention import heat
from eacbook.plots.pictures import captioned, face_picture, overlay

both = heat(torch.stack([maps[0, label], of_gradients]), 160)
face = face_picture(image, 160)
pictures = [face, *(overlay(face, values) for values in both)]
captions = "the face", f"class activation map: {faces.classes[label]}", "its Grad-CAM"
show(captioned(dict(zip(captions, pictures))))

# %% [markdown]
# ## Explore
#
# Choose a face by its thumbnail or with the first slider (a frame marks a wrong label). Then move the epoch
# slider (the arrow keys work on both). Each network has a column with three pictures. The first is its attention on the face. The second is
# its attention on the mirror image. The third is the second one mirrored back onto the face, so it should
# look like the first. The number says how much they differ. It is the mean squared difference of all seven
# maps, in units of their variance. At 0 the attention follows the mirror exactly. At 2 it has nothing to do
# with it. EAC's second term lowers the number. The baseline has no such term. It only sees some faces
# mirrored.
#
# **Predict, then try:**
#
# 1. Take a face with a *right* label. Where does the baseline look in epoch 3, and where in epoch 30?
# 2. Take a face with a *wrong* label. In which epoch does the baseline begin to predict the wrong label? Does
#    its attention change there?
# 3. Choose *the true class* as the map for such a face. Is it still there at the end, in either network?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "three looks", guess)

from eacbook.book.widgets import AttentionExplorer

explorer = AttentionExplorer(faces, runs)
explorer.pick(1)
explorer

# %%
before = explorer.picture.value
explorer.epoch.value = 5
assert explorer.picture.value != before, "the picture follows the epoch"
explorer.epoch.value = explorer.epoch.max
assert explorer.picture.value == before, "it is again as you saw it"
print("The explorer follows its controls.")

# %% [markdown]
# You can compare any stored run of the same labels. In notebook 2 a run with *weight 0* was trained: erasing
# alone. If you have it, add it to the others with
# `AttentionExplorer(faces, runs | {"weight 0": book_run(eb.EAC(weight=0), faces, folder=RUNS)})`.
#
# ## From one face to many
#
# One face proves nothing. The next figure shows the difference between the maps of face and mirror image over
# all probes. It separates probes with right labels from probes with wrong labels. It shows the mean and the
# range of three seeds.
#
# **Predict** both curves of both methods. In particular: will the baseline's *rise* while it memorises?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "maps and mirror", guess)

from eacbook.evaluation.attention import relative_difference
from eacbook.plots.figures import epoch_curves

SEEDS = (0, 1, 2)
watched = {
    name: [Recorded.of(book_run(method, faces, seed, folder=RUNS)) for seed in SEEDS]
    for name, method in METHODS.items()
}

# %% tags=["nbval-ignore-output"]
def right_and_wrong(quantity):
    """Of each method: the mean over right and over wrong labels, [seeds, epochs]."""
    panels = {}
    for name, records in watched.items():
        values = [quantity(record) for record in records]
        flipped = [record.wrong[: value.shape[1]] for record, value in zip(records, values)]
        panels[name] = {
            "right labels": torch.stack([v[:, ~f].nanmean(1) for v, f in zip(values, flipped)]),
            "wrong labels": torch.stack([v[:, f].nanmean(1) for v, f in zip(values, flipped)]),
        }
    return panels


differences = right_and_wrong(lambda record: relative_difference(record.maps, record.maps_of_mirror))
display(epoch_curves(differences, "difference of the maps / variance", percent=False))
right, wrong = (differences["baseline"][f"{kind} labels"][:, -1] for kind in ("right", "wrong"))
say(
    f"At the end the baseline's difference is {wrong.mean():.2f} of the variance for wrong labels and {right.mean():.2f} for right ones. "
    f"With {int((wrong > right).sum())} of 3 seeds, wrong labels are above right ones."
)

# %%
baseline, eac = (differences[name]["wrong labels"].mean(0) for name in METHODS)
claim("At the end the baseline's maps do not follow the mirror.", baseline[-1], above=0.3)
claim("EAC's maps differ from their mirror images by less than a third of that.", eac[-1] / baseline[-1], below=1 / 3)
claim("The baseline's maps differed less in one of the first ten epochs.", baseline[-1] - baseline[:10].min(), above=0.1)

# %% [markdown]
# EAC's maps agree with their mirror images from early on. It is trained for that, so this only proves that
# the training works. The baseline's maps come nearest in the first third. Then, in the saved run, they
# differ more and more. There this is true for right labels, too, and before the baseline memorises much. So memorising is not the only
# reason. Look at the numbers below the figure. Do wrong labels end above right ones? That would fit the idea
# that the network remembers a wrong label by details on one side of the picture. It would not prove it: there
# are 14 faces of each kind for each seed.
#
# ## Does memorising look at less of the face?
#
# EAC rests on an idea. In the paper's words, a network that memorises a sample remembers it *by a part of the
# features*. On synthetic faces we can measure this, because we know where brows, eyes, nose and mouth are. We
# take each map of the *given* label. Which share of its positive attention is inside these regions?

# %%
from eacbook.plots.pictures import picture_grid
from eacbook.synthetic.faces import REGIONS

some = probes[:8]
masks = faces.train.drawn.region_masks(some)
inside = masks.any(1, keepdim=True)
images = faces.train.images[some]
print("regions:", ", ".join(REGIONS), f"- together {inside.float().mean():.0%} of these pictures")
show(picture_grid({"face": images, "regions": torch.where(inside, images, images // 4)}))

# %% [markdown]
# ### Exercise 2: a score for attention
#
# Write the share. The input is `attention` `[h, w]` (not negative) and `inside` `[h, w]` (the part of each
# place that is in a region, 0 to 1). The output is one number, as a tensor (without `.item()`).

# %%
from eacbook.book.exercises import check_region_share


def my_region_share(attention, inside):
    # <solution>
    return (attention * inside).sum() / attention.sum()
    # </solution>


check_region_share(my_region_share)

# %% [markdown]
# A map that looks at everything equally would score as much as the regions cover. **Predict.** Take the
# baseline at the end, when most wrong labels are memorised. Do wrong labels score lower than right ones? And
# for EAC, which memorised few of them?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "share inside", guess)

from torch.nn.functional import adaptive_avg_pool2d


def our_region_share(attention, inside):
    return (attention * inside).sum() / attention.sum()


share_of = yours_or_ours(my_region_share, our_region_share, check_region_share)


def score(record):
    """The share for each epoch and face."""
    attention = record.attention.clamp(min=0)
    masks = faces.train.drawn.region_masks(record.rows).any(1)
    inside = adaptive_avg_pool2d(masks[:, None].float(), attention.shape[-2:])[:, 0]
    return torch.stack([torch.stack([*map(share_of, maps, inside)]) for maps in attention])


scores = right_and_wrong(score)
covered = float(faces.train.drawn.region_masks(watched["eac"][0].rows).any(1).float().mean())
epoch_curves(scores, "share of the attention inside", level=("regions cover", covered))

# %% tags=["nbval-ignore-output"]
import pandas as pd


def at(epoch, panels, form=".1%"):
    """Mean and standard deviation over the seeds after an epoch, as texts."""

    def text(values):
        return f"{values[:, epoch - 1].mean():{form}} ± {values[:, epoch - 1].std():{form}}"

    return pd.DataFrame({name: {k: text(v) for k, v in lines.items()} for name, lines in panels.items()})


pd.concat({f"epoch {epoch}": at(epoch, scores) for epoch in (10, 20, 30)})

# %%
gap = {name: lines["right labels"] - lines["wrong labels"] for name, lines in scores.items()}
claim("In epoch 10 the baseline's wrong labels score lower than its right ones, with every seed.", gap["baseline"][:, 9].min(), above=0)
claim("EAC's wrong labels do so at the end, with every seed.", gap["eac"][:, -1].min(), above=0)
closed = 1 - gap["baseline"][:, -1].mean() / gap["baseline"][:, 9].mean()
claim("By the end a good part of the baseline's gap is closed.", closed, above=0.25)
lower = (scores["baseline"]["right labels"] - scores["eac"]["right labels"])[:, -1].mean()
claim("For right labels EAC scores lower than the baseline.", lower, above=0)

# %% [markdown]
# (A map without any positive place has no score and is left out. There are many of these in the first epochs.
# They cause a part of the wide bands.)
#
# There is a second way to measure. Over how *many* of the 36 places is the attention spread? (We use the
# exponential of the entropy of the map: 36 for an even map, 1 for a single place.) **Predict** from what you
# saw in the explorer.

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "places", guess)


def places(record):
    shares = record.attention.flatten(2)
    shares = shares / shares.sum(-1, keepdim=True)
    return torch.special.entr(shares).sum(-1).exp()


widths = right_and_wrong(places)
epoch_curves(widths, "places attended, of 36", level=("all places", 36.0), percent=False)

# %% [markdown]
# Both figures look the same. In the middle of the training, the maps of wrong labels lie less on the features
# and in fewer places. Later the baseline's maps of wrong labels come nearer to those of right ones while it
# memorises. EAC's do not. So is the claim true while the network learns? Stop. Something is wrong with this
# comparison.
#
# **Predict.** In epoch 10 hardly any wrong label is memorised: the network *rejects* nearly all of them. So
# their maps belong to classes that it does not predict. Now count only the faces whose given label the
# network *predicts*, right or wrong. What remains of the difference?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "predicted only", guess)


def predicted(quantity, low=0.0, high=1.0):
    """The quantity where the given label is predicted with a confidence in the range; elsewhere not a number."""

    def of(record):
        sureness, said = record.logits.softmax(-1).max(-1)
        counted = (said == record.given) & (sureness >= low) & (sureness <= high)
        return quantity(record).masked_fill(~counted, torch.nan)

    return of


alike = right_and_wrong(predicted(places))
epoch_curves(alike, "places attended, of 36", level=("all places", 36.0), percent=False)

# %%
def at_the_end(panels):
    """Right minus wrong labels after the last epoch, mean of the seeds, of each method."""
    return {n: float((v["right labels"] - v["wrong labels"])[:, -1].mean()) for n, v in panels.items()}


all_labels, predicted_only = at_the_end(widths), at_the_end(alike)
claim("Among predicted labels the baseline's difference is less than three places of 36.", abs(predicted_only["baseline"]), below=3)
claim("EAC's difference is less than half of what it was among all labels.", abs(predicted_only["eac"] / all_labels["eac"]), below=0.5)

# %% [markdown]
# Most of the difference is gone, but not all. One trap remains. The baseline predicts the wrong labels that
# it memorised with less confidence than the right ones. And the more confident it is, the more places speak
# for the class. **Predict**: compare only labels that it predicts with *about equal confidence*, 60 to 90 %.
# What remains?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "equal confidence", guess)

kinds = {
    "all": lambda quantity: quantity,
    "predicted": predicted,
    "predicted, confidence 60 to 90 %": lambda quantity: predicted(quantity, 0.6, 0.9),
}
forms = {"share inside": (score, ".1%"), "places": (places, ".1f")}
table = {name: {k: at(30, right_and_wrong(of(q)), form)["baseline"] for k, of in kinds.items()}
         for name, (q, form) in forms.items()}
display(pd.concat({name: pd.DataFrame(rows).T for name, rows in table.items()}, axis=1))


def how_sure(kind):
    """The baseline's confidence for right or for wrong labels at the end, mean of the seeds."""
    sure = right_and_wrong(predicted(lambda record: record.logits.softmax(-1).amax(-1)))["baseline"]
    return float(sure[f"{kind} labels"][:, -1].mean())


left = right_and_wrong(predicted(score, 0.6, 0.9))["baseline"]
left = [f"{100 * gap:.1f}" for gap in (left["right labels"] - left["wrong labels"])[:, -1]]
say(f"Among predicted labels, the baseline's mean confidence is {how_sure('right'):.0%} for right ones and {how_sure('wrong'):.0%} for wrong ones.")
say(f"At a confidence of 60 to 90 %, right labels score {', '.join(left)} points higher, by seed.")

# %% [markdown]
# ### What came out
#
# Was the claim true? Most of what supported it is gone. We cannot say whether a small rest is true.
#
# * **In how many places?** Among predicted labels most of the difference is gone. Among labels with about
#   equal confidence, the baseline's difference is gone or changes its sign (see the table). EAC's difference
#   shrinks, too. EAC predicts few wrong labels, too few for a conclusion. So we did not see how a network
#   remembers a wrong label. We saw the map of a label that the network does *not* predict, or not with
#   confidence. Little speaks for such a label, in few places.
# * **On brows, eyes, nose and mouth?** The last line under the table shows what remains, by seed. On one of
#   our processors it was about 2 points with each seed, in the direction of the claim. On another one the
#   same three seeds gave 1.7, 0.3 and 0.1 points. With only the first processor, you would find an effect.
#   With both, nobody can say that there is one.
# * **EAC** scores *lower* on the features for right labels than the baseline. Its maps are wider. Looking
#   everywhere is one way to agree with the mirror image.
#
# The measures have limits. 6 x 6 places are coarse, and each place sees beyond its square. Where a network
# looks is not *what* it takes from there. Three seeds on the same faces do not prove a small difference. And
# these are synthetic faces and a small network. The paper speaks of photographs.
#
# ## Your own face
#
# Load a photograph of a face into the explorer above (*your own face*), or run the next cell with a file of
# yours. The photograph is cropped to the face and made as small as the synthetic ones. Nothing leaves this
# computer (in Colab: the computer that runs your notebook). **Predict**: this network has never seen a
# photograph. What will it make of you?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("03", "a photograph", guess)

from pathlib import Path

photograph = Path("my_face.jpg")  # put a file of yours here
if photograph.exists():
    explorer.take_photo(photograph.read_bytes())
    print("The explorer above shows it now.")
else:
    print("no file", photograph, "here. You can also use the button of the explorer.")

# %% [markdown]
# Whatever it says is no finding about you: a network names what a face looks like to *it*, and no picture
# shows what a person feels
# ([why](https://github.com/eacbook/eacbook/blob/main/docs/ethics.md)). This one was trained on 1,500 drawings. With FERPlus
# ([notebook 8](08_real_faces.ipynb)), the same explorer shows networks that have seen photographs.
#
# ## Quiz

# %%
quiz("03")

# %% [markdown]
# ## Take away
#
# * A **class activation map** is the classifier applied before the mean. For such a network Grad-CAM is the
#   same map.
# * Take the difference between the maps of a face and of its mirror image, **relative to their variance**. It
#   grows in the baseline's training. It stays small under EAC, which is trained to keep it small.
# * A pretty map is no evidence, and a curve can mislead, too. Wrong labels scored lower mostly because they
#   were not predicted, or not with confidence. Compare like with like. The rest is small, and may be chance.
#
# **Back**: [2 · Baseline against EAC](02_baseline_vs_eac.ipynb). **Next**: [4 · Losses](04_losses.ipynb)
# finds the wrong labels by their loss. With real faces at hand, you can also go on with
# [8 · Real faces](08_real_faces.ipynb).
