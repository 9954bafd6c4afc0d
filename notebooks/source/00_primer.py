# %% [markdown]
# # 0 · Primer
#
# [![Open in Colab](colab-badge.svg)](https://colab.research.google.com/github/eacbook/eacbook/blob/main/notebooks/00_primer.ipynb)
#
# **You will learn** the parts that the other notebooks use. How do logits become a loss? How does a class
# activation map follow from convolution, pooling and a linear layer? What do batch normalisation and the
# learning rate do? And what is memorisation? If you know all of this, do the three exercises and go on.
#
# The task of the whole book: a network sees a face and names one of seven expressions. The book follows one paper,
# *Erasing Attention Consistency* (EAC; Zhang et al., ECCV 2022). In each step, EAC trains on two *views* of every face: the
# picture, and its mirror image. Where you read *the paper*, it is this one.
#
# **You need** Python with loops and functions, and arrays as in numpy. You should have seen a vector, a
# matrix product, a derivative and a logarithm. One course in machine learning is enough. **Time**: about 60
# minutes of reading and trying. The computer works for half a minute to a minute.
#
# **Predict first.** Many cells begin with `guess = ""`. Write your guess between the quotes, and then run this one
# cell. *Run All* shows every result before you can think. So do the saved results, which stand below the cells already:
# remove them first (in JupyterLab *Edit*, *Clear Outputs of All Cells*; in Colab *Edit*, *Clear all outputs*). Every
# prediction has *A short answer*, which you can open. Under
# some cells you will read a **claim** after a ✓: a sentence that the cell has checked. The cell stops if it is not true
# on your machine. The exercises tell you what is wrong with your
# code. If you are stuck, the folder `notebooks/solutions` has every notebook with its exercises solved.
#
# Free places to learn what is missing here:
#
# * Python and numpy: [the tutorial of numpy for beginners](https://numpy.org/doc/stable/user/absolute_beginners.html)
# * training, test and validation: [the MOOC of scikit-learn](https://inria.github.io/scikit-learn-mooc/)
# * networks and PyTorch: [Dive into Deep Learning](https://d2l.ai), chapters 2 to 7
# * convolution in pictures: [the notes of CS231n](https://cs231n.github.io/convolutional-networks/)

# %%
import sys

if "google.colab" in sys.modules:  # elsewhere eacbook is installed already
    # %pip install -q "eacbook[book] @ git+https://github.com/eacbook/eacbook"

# %%
import torch
from torch.nn import functional

import eacbook as eb
from eacbook.augment.normalise import normalise
from eacbook.book.exercises import yours_or_ours
from eacbook.book.quiz import prediction, quiz
from eacbook.book.runs import claim, say
from eacbook.book.widgets import ConvolutionExplorer, SoftmaxExplorer
from eacbook.data.faces import synthetic_faces

faces = synthetic_faces(train=840, test=350, validation=7)
print(f"{len(faces.train)} training faces and {len(faces.test)} test faces, drawn by the book")

# %% [markdown]
# ## Logits, softmax and nats
#
# For each face, a network gives one number per class (here an expression), the **logit**. A logit can be any number. Larger means
# "rather this class". The **softmax** turns the logits $z$ into probabilities: make each one positive by
# $\exp$, then divide by the sum.
#
# $$p_k = \frac{\exp(z_k)}{\sum_j \exp(z_j)}$$
#
# A face also has a given label $y$. The **cross-entropy** is $-\ln p_y$. It is 0 if the network is certain of
# the label, and large if the network finds the label unlikely. With the natural logarithm, its unit is the
# **nat**. One nat less means that the label became $e \approx 2.7$ times as likely.
#
# Move the sliders (the arrow keys work; in a list, type the first letter). **Predict** first, then try:
#
# 1. All logits are 0. What is the loss? Does it change if all are 3?
# 2. The given label has the logit 2, the others have 0. Is the loss above or below half a nat?
# 3. *Another* class has a logit that is larger by 4, and the third class has the same logit as the label. How large is the loss? Is there a largest loss?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "equal logits", guess)

explorer = SoftmaxExplorer(["happiness", "neutral", "fear"])
explorer

# %% [markdown]
# Only differences between logits count: add 3 to all, and nothing changes. With three equal logits the loss is
# $\ln 3 \approx 1.1$, the loss of knowing nothing about three classes. There is no largest loss. So one label
# that the network finds absurd can weigh as much as many ordinary ones. Remember that when labels are wrong.
#
# ### Exercise 1: cross-entropy
#
# `logits` `[B, K]` holds a row for each of B faces, with a number for each of K classes. `labels` `[B]` holds the
# class of each face, a number from 0 to K - 1. Return the loss of each face, `[B]`. Compute with tensors alone, because a
# network will learn from it. (`torch.log_softmax` is allowed. So is `gather(1, labels[:, None])`: it picks one number in
# each row, and gives `[B, 1]`.)

# %%
from eacbook.book.exercises import check_cross_entropy


def my_cross_entropy(logits, labels):
    # <solution>
    return -logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
    # </solution>


check_cross_entropy(my_cross_entropy)

# %% [markdown]
# ## Convolution and pooling
#
# How does a network come from pixels to logits? A **convolution** moves a small window over the picture. At
# every place, it multiplies the pixels in the window by the same few **weights** and adds the products. The
# result is a new picture, a **feature map**. It is large where the pixels look like the weights. **Pooling**
# makes a map smaller: max pooling keeps the largest number of each square.
#
# Move the window with the sliders. Brightness goes from 0 (black) to 10 (white). Purple places are negative, amber ones are positive. **Predict**, then try:
#
# 1. Which parts of the face will *dark above, bright below* find? And *dark left, bright right*?
# 2. The filter *dark left, bright right* has the rows -1 0 1, -2 0 2 and -1 0 1. What is the sum on a cheek, where all
#    pixels are nearly alike? Compare it with the edge of the hair.
# 3. After pooling with 8 x 8, can you still say where the eyes are? Does the map of one filter still tell which way an
#    edge goes?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "what filters find", guess)

explorer = ConvolutionExplorer(faces)
explorer

# %% [markdown]
# The weights of the first three filters sum to 0, so a region without an edge gives about 0. (The skin has a little
# grain.) Pooling loses the exact place and keeps that something was there. Which way an
# edge goes is still known: that is the filter's job, and each filter has a map of its own. In a network, nobody chooses the weights: training does. Later layers apply
# windows to feature maps, so one place of a late map sees a large part of the face.
#
# Our network `tiny` is such a stack. It halves the rows and columns three times, and its last layer has 64 filters.
# **Predict**: a face has 48 x 48 pixels and 3 colours. Which shape will
# the features have after the last convolution? How many numbers describe the face after the mean over all
# places?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "shape of the features", guess)

network = eb.build_network("tiny", num_classes=7).eval()
two_faces = normalise(faces.train.images[:2])
with torch.inference_mode():
    features = network.backbone(two_faces)
print("features:", tuple(features.shape), "= faces, channels, rows, columns")
print("after the mean over the places:", tuple(features.mean((2, 3)).shape))
print("the linear layer: weights", tuple(network.fc.weight.shape), "and bias", tuple(network.fc.bias.shape))

# %% [markdown]
# ### Exercise 2: from features to logits
#
# The end of the network has two steps. First comes the mean of each feature map over all places (*global
# average pooling*). Then comes a **linear layer**: for each class, a weighted sum of the channels plus a bias.
# `features` is `[B, C, h, w]`, `weights` is `[K, C]` and `bias` is `[K]`. Return the logits `[B, K]`, a tensor.

# %%
from eacbook.book.exercises import check_class_logits


def my_class_logits(features, weights, bias):
    # <solution>
    return features.mean((2, 3)) @ weights.T + bias
    # </solution>


check_class_logits(my_class_logits)

# %% [markdown]
# Now the step on which the book rests. $F_c$ is feature map number $c$. A mean is a sum, and a weighted sum of means is the mean of weighted
# sums. So the two steps can change places:
#
# $$\text{logit}_k = \sum_c W_{kc}\,\text{mean}_{x,y} F_c(x, y) + b_k = \text{mean}_{x,y} \underbrace{\sum_c W_{kc} F_c(x, y)}_{M_k(x, y)} + b_k$$
#
# $M_k$ has a number for every place: how much does this place raise the logit of class $k$? This is the
# **class activation map** (Zhou et al., CVPR 2016). Here are two channels of 2 x 2 places and the weights of
# one class. **Predict** the four numbers of the map on paper. Which place speaks *against* the class?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "the map on paper", guess)

two_channels = torch.tensor([[[4.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]]])
weights_of_class, bias = torch.tensor([1.0, -0.5]), 0.25
activation_map = (weights_of_class[:, None, None] * two_channels).sum(0)
print("the map:", activation_map.tolist())
print("its mean + bias:            ", (activation_map.mean() + bias).item())
print("pooling, then linear layer: ", (weights_of_class @ two_channels.mean((1, 2)) + bias).item())

# %% [markdown]
# The two places on the right speak against the class. The two ways agree, always. Here is the same for a network
# and a face: seven maps of 6 x 6 places. (The network is still untrained.)

# %%
def our_class_logits(features, weights, bias):
    return functional.linear(functional.adaptive_avg_pool2d(features, 1).flatten(1), weights, bias)


class_logits = yours_or_ours(my_class_logits, our_class_logits, check_class_logits)
network.eval()
with torch.inference_mode():
    logits, maps = network(two_faces)
    features = network.backbone(two_faces)
    from_features = class_logits(features, network.fc.weight, network.fc.bias)
print("maps:", tuple(maps.shape))
print("logits from the features:  ", torch.allclose(from_features, logits, atol=1e-4))
print("logits from the maps:      ", torch.allclose(maps.mean((2, 3)) + network.fc.bias, logits, atol=1e-4))

# %% [markdown]
# ## Batch normalisation
#
# Numbers that pass through many layers can become huge or tiny. **Batch normalisation** (Ioffe and Szegedy,
# ICML 2015) keeps them in range. In training, it takes each channel over the whole batch. It subtracts the
# mean and divides by the standard deviation. So the output for one face depends on the *other faces of the
# batch*. In evaluation it uses averages from the training instead.
#
# Remember that EAC shows each face in two views. **Predict**: the first view of four faces gives a channel the values 1, 2,
# 3, 4, and the second view gives 11, 12, 13, 14. What comes out for each view if they are normalised one after
# the other? And if all eight are normalised together?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "together or apart", guess)

first, second = torch.tensor([1.0, 2, 3, 4]), torch.tensor([11.0, 12, 13, 14])


def batch_normalise(values):
    return (values - values.mean()) / values.std(correction=0)


def rounded(values):
    return [round(value, 2) for value in values.tolist()]


print("one after the other:", rounded(batch_normalise(first)), rounded(batch_normalise(second)))
print("together:           ", rounded(batch_normalise(torch.cat([first, second]))))

# %% [markdown]
# Apart, both views give the same four numbers. Together, the difference between the views becomes the largest
# thing in the channel. So "run the network on both views" can mean two things, with different results. The published EAC runs
# it **twice**, once on each view, and so does this book. The next cell shows that it matters for a whole
# network. It compares two passes with one pass, in training and in evaluation. **Predict**: in which of the two are the logits
# the same?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "two passes or one", guess)

view = normalise(faces.train.images[:32])
# Other, darker faces stand for a second view.
darker = normalise((faces.train.images[32:64] * 0.7).to(torch.uint8))
with torch.no_grad():
    for mode in ("train", "eval"):
        getattr(network, mode)()
        apart = torch.cat([network(view)[0], network(darker)[0]])
        together = network(torch.cat([view, darker]))[0]
        print(f"{mode:5}: two passes give the same logits as one:", torch.allclose(apart, together, atol=1e-3))

# %% [markdown]
# ## The learning rate and its schedule
#
# A **step** of training changes each weight a little, against the direction in which the loss rises. The
# **learning rate** says how far. The cell below has a single weight $w$ and the loss $w^2$, whose slope is
# $2w$. It starts at $w = 1$. **Predict** for the rates 0.1, 0.5, 0.9 and 1.1: which one reaches the
# smallest loss first? Which one moves away from it?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "learning rates", guess)

for rate in (0.1, 0.5, 0.9, 1.1):
    weight, path = 1.0, [1.0]
    for step in range(6):
        weight -= rate * 2 * weight
        path.append(weight)
    print(f"rate {rate}:", "  ".join(f"{value:6.2f}" for value in path))

# %% [markdown]
# The rate 0.5 arrives in one step. A smaller one is slow, a larger one overshoots, and beyond 1 it explodes (for this loss). A real
# loss has other slopes for every weight and every batch. So no single rate is right: a large one never settles, and a
# small one takes too long. Therefore the rate follows a **schedule**. Its rise is also called *warm-up*, its fall
# *annealing*.
# The book's network uses *one-cycle* (Smith and Topin, 2019): rise for a third of the training, then fall to
# nothing. The paper multiplies the rate by 0.9 after each epoch. (An **epoch** is one pass through all
# training faces.) **Predict**: in which part of the training can the network still change its mind about many
# faces? And in which part can it only add fine exceptions?

# %%
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "when it changes its mind", guess)

from eacbook.plots.figures import epoch_curves
from eacbook.training.optimizer import build_scheduler
from eacbook.training.recipe import Recipe


def learning_rates(recipe, batches_per_epoch=24):
    """The learning rate at the start of every epoch, as a share of the highest one, [1, epochs]."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.learning_rate)
    scheduler, rates = build_scheduler(optimizer, recipe, batches_per_epoch), []
    for step in range(recipe.epochs * batches_per_epoch):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates[::batches_per_epoch])[None] / recipe.learning_rate


schedules = {
    "the book's network": learning_rates(Recipe(epochs=30)),
    "the paper's recipe": learning_rates(Recipe(epochs=60, schedule="exponential", decay=0.9)),
}
epoch_curves({"schedules": schedules}, "share of the highest rate")

# %% [markdown]
# While the rate is high, every step may change the prediction for many faces. While it falls to nothing, only fine
# exceptions can be added.
#
# ## Memorisation
#
# A network is meant to recognise *new* faces. If it is much better on its training faces, it **overfits**.
# The extreme case is **memorisation**: it predicts a training label that nothing in the picture explains.
#
# Zhang et al. (ICLR 2017) gave networks *random* labels and found that they learnt all of them. Arpit et al.
# (ICML 2017) showed that networks learn simple patterns first. Liu et al. (NeurIPS 2020) used this *early
# learning* against label noise: at first, a network fits right labels, and only later the wrong ones.
#
# You can see both in seconds. Here is a whole training: for each batch compute the loss, its derivatives
# (`backward`), and make a step. It uses your cross-entropy, if it is right.

# %% tags=["nbval-ignore-output"]
from eacbook.evaluation.evaluate import sample_losses

cross_entropy = yours_or_ours(my_cross_entropy, sample_losses, check_cross_entropy)


def fit(labels, epochs, batch_size, wrong):
    """Train on the first faces with these labels: shares after every epoch, and the network."""
    torch.manual_seed(0)
    network = eb.build_network("tiny", num_classes=7, seed=0)
    images, test = normalise(faces.train.images[: len(labels)]), normalise(faces.test.images)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    shares = {"right labels": [], "wrong labels": [], "test faces": []}
    for epoch in range(epochs):
        network.train()
        for rows in torch.randperm(len(labels)).split(batch_size):
            logits, maps = network(images[rows])
            loss = cross_entropy(logits, labels[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            as_given = network(images)[0].argmax(1) == labels
            recognised = network(test)[0].argmax(1) == faces.test.labels
        for name, hits in zip(shares, (as_given[~wrong], as_given[wrong], recognised)):
            shares[name].append(float(hits.double().mean()))
    return network, {name: torch.tensor(values)[None] for name, values in shares.items()}

# %% [markdown]
# First, 210 faces with labels that say nothing: each of the seven classes is equally likely for each face.
# (Notebook 1 explains why that is symmetric noise with rate 6/7.) **Predict** after 25 epochs: which share of
# its wrong *training* labels does the network predict? And which share of the *test* faces, whose labels are right?
# By chance, both would be one in seven.

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "random labels", guess)

random = eb.inject_noise(faces.train.labels[:210], rate=6 / 7, num_classes=7, seed=0)
memory, with_random = fit(random.given, epochs=25, batch_size=32, wrong=random.wrong)
known, new = (float(with_random[name][0, -3:].mean()) for name in ("wrong labels", "test faces"))
say(f"Over the last three epochs it predicts {known:.0%} of the wrong training labels as given, and recognises {new:.0%} of the test faces.")
claim("The network learnt nearly all of its random labels.", known, above=0.9)
claim("It recognises about as many test faces as chance.", new, below=0.3)

# %% [markdown]
# A training accuracy of 100 % proves nothing. The network has enough weights to store every label, so only
# faces that it has not seen can tell you what it learnt.
#
# Now 840 faces of which 30 % have a wrong label. **Predict** three curves over 20 epochs. Which share of the
# right labels does the network predict? Which share of the wrong labels, *as given*? And which share of the
# test faces does it recognise? Which curve rises first? Does any of them fall?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "three curves", guess)

noisy = eb.inject_noise(faces.train.labels, rate=0.3, num_classes=7, seed=0)
learner, with_noise = fit(noisy.given, epochs=20, batch_size=64, wrong=noisy.wrong)
lead = with_noise["right labels"] - with_noise["wrong labels"]
best, last = with_noise["test faces"].max(), with_noise["test faces"][0, -3:].mean()
say(f"The lead of the right labels is largest in epoch {int(lead.argmax()) + 1}: {100 * lead.max():.0f} points.")
say(f"Test faces: {best:.0%} in the best epoch, {last:.0%} over the last three.")
claim("The network learns the right labels first.", lead.max(), above=0.15)
claim("At the end it predicts most wrong labels as given.", with_noise["wrong labels"][0, -3:].mean(), above=0.5)
epoch_curves({"30 % wrong labels": with_noise}, "share", level=("chance", 1 / 7))

# %% [markdown]
# First the network learns what many faces share. The wrong labels contradict that, so they come last. Then it
# stores them one by one, and the test faces gain little by it. (If they still rise, that comes from the right labels,
# which it goes on learning.) The learning rate is constant here, so all curves jump, and the curve of the test faces may
# end below its best. Between the two phases lies the chance of every
# method in this book: keep the learning, and prevent the storing.
#
# ## The confusion matrix
#
# One accuracy hides *which* classes are confused. The **confusion matrix** counts: row $i$, column $j$ is the
# number of faces of true class $i$ that were predicted as class $j$. The diagonal is right.
#
# ### Exercise 3: count the confusions
#
# `true` `[N]` and `predicted` `[N]` hold class numbers. Return the matrix `[K, K]`, a tensor.

# %%
from eacbook.book.exercises import check_confusion_matrix


def my_confusion_matrix(true, predicted, num_classes):
    # <solution>
    cells = num_classes * true + predicted
    return cells.bincount(minlength=num_classes**2).view(num_classes, num_classes)
    # </solution>


check_confusion_matrix(my_confusion_matrix)

# %% [markdown]
# Here is the matrix of the network that we trained with 30 % wrong labels, on the test faces. **Predict**: the
# noise was symmetric. Will the confusions be spread evenly, too? Which pair will be confused most?

# %% tags=["nbval-ignore-output"]
guess = ""  # @param {"type": "string", "placeholder": "your prediction"}
prediction("00", "confusions", guess)

from eacbook.evaluation.evaluate import confusion_matrix
from eacbook.plots.figures import confusion_matrices


def our_confusion_matrix(true, predicted, num_classes):
    return confusion_matrix(functional.one_hot(predicted, num_classes).float(), true)


count = yours_or_ours(my_confusion_matrix, our_confusion_matrix, check_confusion_matrix)
with torch.inference_mode():
    predicted = learner(normalise(faces.test.images))[0].argmax(1)
matrix = count(faces.test.labels, predicted, 7)
most = (matrix - matrix.diagonal().diag()).flatten().argmax()
say(f"Confused most: {faces.classes[most // 7]}, taken for {faces.classes[most % 7]}. (The picture has percent of each row.)")
say(f"The sum of the diagonal, {int(matrix.trace())} of {int(matrix.sum())}, is the accuracy after the last epoch: {matrix.trace() / matrix.sum():.0%}.")
confusion_matrices({"test faces": matrix}, faces.classes)

# %% [markdown]
# The confusions are not even, although the noise was. They follow what faces look like *to this network*. A
# column with many errors is a class that it names too often. One accuracy shows nothing of this.
#
# ## Quiz

# %%
quiz("00")

# %% [markdown]
# ## Take away
#
# * The **softmax** makes probabilities of logits, and the **cross-entropy** is minus the logarithm of the
#   given label's. Knowing nothing about seven classes costs $\ln 7$ nats.
# * A **class activation map** is the linear layer applied before the mean. Its mean plus the bias is the
#   logit.
# * **Batch normalisation** mixes the faces of a batch. So two views need two passes.
# * Networks can **memorise** any labels, but they learn what is common first.
#
# **Next**: [1 · Label noise](01_label_noise.ipynb). What is a wrong label, and how do researchers make them?
# The words are in the [glossary](https://github.com/eacbook/eacbook/blob/main/docs/glossary.md), and the
# symbols in the [notation](https://github.com/eacbook/eacbook/blob/main/docs/notation.md).
