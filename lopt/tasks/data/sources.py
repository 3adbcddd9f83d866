"""Where data sets are published, with their checksums; fetching and converting them."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lopt.tasks.data.cache import check_headers, read_arrays, write_arrays
from lopt.tasks.data.canonical import Arrays, from_cifar10, from_cifar100, from_idx
from lopt.tasks.data.datasets import Dataset
from lopt.tasks.data.download import RemoteFile, Report, download, silent
from lopt.tasks.data.idx import FILES
from nqm.archives import Header


@dataclass(frozen=True)
class Source:
    """A published data set.

    Attributes
    ----------
    base
        The address that the names of the files are appended to.
    files
        What to fetch.
    convert
        Makes the four arrays of the fetched files.
    """

    base: str
    files: tuple[RemoteFile, ...]
    convert: Callable[[Sequence[Path]], Arrays]


def _idx(base: str, *md5: str) -> Source:
    named = zip(FILES.values(), md5, strict=True)
    return Source(base, tuple(RemoteFile(name, value) for name, value in named), from_idx)


TORONTO = "https://www.cs.toronto.edu/~kriz"
SOURCES: dict[str, Source] = {
    "fashion-mnist": _idx(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "mnist": _idx(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "cifar10": Source(
        TORONTO,
        (RemoteFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),),
        from_cifar10,
    ),
    "cifar100": Source(
        TORONTO,
        (RemoteFile("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),),
        from_cifar100,
    ),
}


def fetch(
    dataset: Dataset,
    folder: Path,
    *,
    source: Source | None = None,
    base: str | None = None,
    report: Report = silent,
) -> tuple[Path, bool]:
    """Bring a data set into `folder` as one ``.npz`` file; return it and whether it is new.

    The published files wait in a folder of their own until all have come; interrupted, the next
    call goes on with them. They are deleted once the ``.npz`` is complete.

    Parameters
    ----------
    dataset
        What to fetch.
    folder
        Where to; it is made.
    source
        Where from; `SOURCES` has those of the known data sets.
    base
        An address that has the same files, instead of the source's.
    report
        Told the progress of every file.

    Raises
    ------
    ValueError
        Where the data set has no source, is there but damaged, or cannot be fetched, converted or
        written. No data set is left then.
    """
    source = source or SOURCES.get(dataset.name)
    target = folder / dataset.file_name
    if target.is_file():
        read_arrays(target, dataset.shape, dataset.classes)
        return target, False
    if source is None:
        raise ValueError(f"{dataset.name} cannot be fetched: {dataset.remedy}.")
    begun = folder / f"{target.stem}.download"
    files = [download(base or source.base, file, begun, report) for file in source.files]
    arrays = source.convert(files)
    headers = {name: Header(a.shape, a.dtype, False, 0) for name, a in arrays.items()}
    check_headers(begun, headers, dataset.shape, dataset.classes)
    try:
        write_arrays(target, arrays)
        shutil.rmtree(begun)
    except OSError as error:
        raise ValueError(
            f"{target} cannot be written ({error.strerror or error}). "
            "Name another folder with --to."
        ) from None
    return target, True
