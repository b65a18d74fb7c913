"""The claims of the note on VGG16 and acne severity, each with its number.

Source: "Why is VGG16 performing poorly at classifying acne severity?", a note
on the web of January 2025 with three code sketches and no data.  Said here in
our words.  Each number is above zero if its claim holds.
"""

import pandas as pd

SUPPORTED = "supported here"
NOT_SUPPORTED = "not supported here"
CANNOT_TELL = "cannot tell without ImageNet weights"

CLAIMS = {
    "small lesions": (
        "Globally pooled features lose small lesions",
        "κ with large lesions - κ with small ones, same pictures otherwise",
    ),
    "resolution": (
        "Image resolution decides too",
        "κ at the finest side - κ at the coarsest, usual lesions",
    ),
    "attention": (
        "A spatial gate makes up for what pooling loses",
        "κ of the gate - κ of the average, equal parameters",
    ),
    "looks": (
        "The gate looks at the lesions",
        "lesions found by the trained gate - by the shuffled network's",
    ),
    "protection": (
        "Example 1: a small rate protects the trained (and frozen) base",
        "movement of the base at 1e-2 - at 1e-4",
    ),
    "rate, head": (
        "A rate of 1e-4 is better than 1e-3 for the head",
        "κ at 1e-4 - κ at 1e-3, equal epochs",
    ),
    "rate, whole": (
        "A rate of 1e-4 is better than 1e-3 for fine-tuning",
        "κ at 1e-4 - κ at 1e-3, equal epochs",
    ),
    "forgetting": (
        "In fine-tuning, a small rate keeps what was learnt before",
        "κ on the first task: fine-tuned at 1e-4 - at 1e-2",
    ),
    "light": (
        "Other light and skin tones hurt",
        "κ in the usual light - κ on the same skin, shifted",
    ),
    "neighbours": (
        "Neighbouring grades are what is confused",
        "share of errors off by one - the share that chance would give",
    ),
    "flattery": (
        "A mild majority flatters the accuracy",
        "accuracy - mean recall, cross-entropy",
    ),
    "rare": (
        "The rare grades pay for it",
        "recall of the commonest grade - of the rarest, cross-entropy",
    ),
    "weights": (
        "(not in the source) Class weights repay them",
        "mean recall: class-weighted - plain cross-entropy",
    ),
    "scaling": (
        "(left out of the sketches) A wrong input scaling costs",
        "κ: right - wrong scaling, frozen backbone of the run",
    ),
    "lean": (
        "EfficientNetB0 needs fewer parameters than VGG16",
        "parameters of VGG16 / of EfficientNetB0 - 1",
    ),
    "fast": (
        "EfficientNetB0 is faster than VGG16",
        "seconds an image of VGG16 / of EfficientNetB0 - 1",
    ),
    "aware": (
        "EfficientNetB0 is more aware of space",
        "side of the last maps of EfficientNetB0 - of VGG16",
    ),
    "rate, VGG16's head": (
        "Example 1: 1e-4 is better than 1e-3 for the head on frozen VGG16",
        "κ at 1e-4 - κ at 1e-3, equal epochs",
    ),
    "rate, whole VGG16": (
        "1e-4 is better than 1e-3 for fine-tuning all of VGG16",
        "κ at 1e-4 - κ at 1e-3, equal epochs",
    ),
    "gate, VGG16": (
        "Example 2: a gate on VGG16's maps grades better than their average",
        "κ of the gate - κ of the average, both at 1e-4",
    ),
    "scaling, VGG16": (
        "(left out of the sketches) VGG16 needs its preprocess_input",
        "κ: with - without it, frozen base, average, 1e-3",
    ),
    "better": (
        "EfficientNetB0 grades better than VGG16",
        "κ of the EfficientNet - of VGG16, frozen bases, average, 1e-3",
    ),
    "as written": (
        "Example 3 grades better than example 1, each as it is written",
        "κ of the EfficientNet at 1e-3 - of VGG16 at 1e-4, frozen bases",
    ),
    "better, whole": (
        "Fine-tuned, too, EfficientNetB0 grades better than VGG16",
        "κ of the EfficientNet - of VGG16, all trained, both at 1e-4",
    ),
    "better, lesions": (
        "EfficientNetB0 tells lesion types better than VGG16",
        "macro-F1 of the EfficientNet - of VGG16, probes, real images",
    ),
}
"""What is said, and the number that is above zero if it is so."""

ON_IMAGENET = (
    "rate, VGG16's head",
    "rate, whole VGG16",
    "gate, VGG16",
    "scaling, VGG16",
    "better",
    "as written",
    "better, whole",
    "better, lesions",
)
"""Claims about networks with ImageNet weights.  Where there are none for
EfficientNetB0, EfficientNet-Lite0 stands in for it."""


def verdict(low: float, high: float, needs_imagenet: bool = False) -> str:
    """What an interval says of a claim that a number is above zero.

    *Supported here* where all of it is above zero, *not supported here*
    everywhere else: an interval across zero is no support, and one below
    zero speaks against.  A claim about ImageNet's weights is not for other
    weights to decide, whatever the interval.
    """
    if needs_imagenet:
        return CANNOT_TELL
    return SUPPORTED if low > 0 and high > 0 else NOT_SUPPORTED


class Ledger:
    """Claims, and what became of them."""

    def __init__(self):
        self.rows = {}

    def decide(
        self,
        key: str,
        number,
        over: str = "persons, seeds",
        needs_imagenet: bool = False,
    ) -> None:
        """Note a claim's number and verdict.

        Parameters
        ----------
        key : of `CLAIMS`
        number : value, low and high first, such as a
            `helpers.training.Estimate`
        over : what the interval is an interval over; "exact" for a count

        Raises
        ------
        ValueError
            For another key, and for a claim that is decided already.
        """
        if key not in CLAIMS or key in self.rows:
            raise ValueError(
                f"key: {key!r} is decided already or none of {list(CLAIMS)}"
            )
        value, low, high = number[:3]
        self.rows[key] = {
            "number": value,
            "low": low,
            "high": high,
            "interval over": over,
            "verdict": verdict(low, high, needs_imagenet),
        }

    def table(self) -> pd.DataFrame:
        """One row a claim that was decided, in the order of `CLAIMS`."""
        keys = [key for key in CLAIMS if key in self.rows]
        said = pd.DataFrame(
            [CLAIMS[key] for key in keys],
            pd.Index(keys, name="claim"),
            ["what it says", "its number"],
        )
        return said.join(pd.DataFrame(self.rows).T)

    def readable(self, *keys: str) -> pd.DataFrame:
        """The table, or some claims of it, numbers and intervals as text."""
        table = self.table().loc[list(keys or self.table().index)]
        numbers = [
            "–"
            if pd.isna(value)
            else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
            for value, low, high in table[["number", "low", "high"]].to_numpy()
        ]
        short = table.drop(columns=["number", "low", "high"])
        short.insert(2, "number [95 % interval]", numbers)
        return short
