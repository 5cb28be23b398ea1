"""What a root must be before its networks are worth loading: looked at without a network, in a moment."""

from actionrec.errors import InputError
from actionrec.storage.root import Root, record
from actionrec.storage.stages import STAGES


def refuse_no_root(root: Root) -> None:
    """InputError where nothing has been made yet."""
    if not root.is_there():
        raise InputError(
            f"{root.store.url}: there is no root here; correct --root, or make one with "
            f"`actionrec catalog SRC --root {root.store.url}`"
        )


def refuse_imported(root: Root) -> None:
    """InputError where a root's features were imported: no videos are known, nor what made the features of them."""
    if root.config.data.dataset == "features":
        raise InputError(
            f"{root.store.url}: its features were imported from {root.config.data.source}, and what made them is not "
            "known; to extract, to fine-tune and to predict, make a root from videos with `actionrec run SRC --root R`"
        )


def refuse_mixed(root: Root, stage: str) -> None:
    """InputError where `stage`, or one that it was made from, was made from another one than lies here, or from none.

    Then files of several roots have been mixed. The records tell it.
    """
    waiting, seen = [stage], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        made = {above: mark for above, mark in record(root, name)["inputs"].items() if above in STAGES}
        for above, mark in made.items():
            if mark != record(root, above)["fingerprint"]:
                raise InputError(f"{root.output.url}: {name} was made from another {above}; use --replace {name}")
        waiting += made.keys() - seen
