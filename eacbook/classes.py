"""The names of the expressions, in the order of their labels."""

CLASSES = (
    "surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral", "contempt"
)  # fmt: skip
"""Label order everywhere: RAF-DB's seven, and contempt last where a set has it."""

RAFDB_CLASSES = CLASSES[:7]
