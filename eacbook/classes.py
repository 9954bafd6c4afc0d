"""The names of the expressions, in the order of their labels."""

CLASSES = (
    "surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral", "contempt"
)  # fmt: skip
"""The label order of all sets: RAF-DB's seven classes, and contempt last if a set has it."""

RAFDB_CLASSES = CLASSES[:7]
