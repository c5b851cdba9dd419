"""The words that a report cannot do without, explained."""

GLOSSARY = {
    "Deleted samples (D_f)": "What the requests ask to be forgotten. The report counts them and never names them.",
    "Unseen samples (C)": "Samples of the same kind that no model was trained on, sealed until the audit. If the "
    "new model answers the deleted samples just as it answers these, nothing gives them away.",
    "AUC": "How often an attacker who is shown one deleted and one unseen sample names the right one. One half is "
    "guessing. Well above: the model remembers. Well below: it was pushed to avoid them, which gives them away as "
    "well.",
    "p-value": "How often chance alone would give a result at least this extreme. A small one is evidence of a "
    "trace; a large one is no evidence of its absence.",
    "Equivalence": "A test that is passed only by showing that the AUC is close to one half. “Nothing was found” "
    "does not pass it.",
    "Power": "The chance that the audit would have noticed a trace as large as the one in the old model.",
    "Positive control": "The same tests on the old model, which does know the deleted samples. If they find nothing "
    "there, finding nothing in the new model means nothing.",
    "Canaries": "Samples planted in the training data by a secret coin. They are forgotten with the deleted ones, "
    "and since the coin is known, it can be counted whether they are still recognised.",
    "φ": "The score of a sample: how far the model prefers its true label to all others, on the logit scale. "
    "Calibrated: minus what models that never saw the sample give.",
}
"""Each word with what it means."""
