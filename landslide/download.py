"""Fetches Landslide4Sense from Hugging Face, or says within seconds that it cannot and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landslide.errors import DatasetError, first_line
from landslide.layout import DatasetFiles, find_dataset

LANDSLIDE4SENSE = "ibm-nasa-geospatial/Landslide4sense"


def download(out: Path, *, repo_id: str = LANDSLIDE4SENSE, timeout: float = 10.0) -> DatasetFiles:
    """Download a dataset repository and check that its files pair; about 9 GB for Landslide4Sense.

    What is already in `out` from an earlier, interrupted download is kept. Progress is shown on stderr by the
    Hub's own library.

    Args:
        out: the folder to fill.
        repo_id: the dataset's repository on the Hub.
        timeout: seconds to wait for the Hub's first answer. The Hub's library itself would retry for up to
            several minutes before it gives up.

    Returns:
        The files, paired.

    Raises:
        DatasetError: the Hub cannot be reached, has no such dataset, the download broke off, or what came is
            not a usable dataset.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder to download to")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.utils

    _probe(huggingface_hub, repo_id, out, timeout)
    try:
        huggingface_hub.snapshot_download(
            repo_id, repo_type="dataset", local_dir=str(out), etag_timeout=timeout
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(
            f"{repo_id}: the download to {out} failed ({type(error).__name__}: {first_line(error)}); run "
            f"the same command again to continue, or {_by_hand(repo_id, out)}"
        ) from error
    return find_dataset(out)


def _probe(hub: Any, repo_id: str, out: Path, timeout: float) -> None:
    """Ask the Hub once, without retries, whether it is there and has the dataset."""
    url = f"{hub.constants.ENDPOINT}/api/datasets/{repo_id}"
    try:
        answer = hub.get_session().get(url, timeout=timeout, headers=hub.utils.build_hf_headers())
    except (
        Exception
    ) as error:  # the HTTP library behind the Hub's, and so its exceptions, changed between versions
        raise DatasetError(
            f"{repo_id}: {hub.constants.ENDPOINT} cannot be reached ({type(error).__name__}: "
            f"{first_line(error)}); check the network, proxy and HF_HUB_OFFLINE, or {_by_hand(repo_id, out)}"
        ) from error
    if answer.status_code >= 400:
        raise DatasetError(
            f"{repo_id}: {hub.constants.ENDPOINT} answers with HTTP status {answer.status_code}; check "
            f"the name of the dataset, and HF_TOKEN if it is not public, or {_by_hand(repo_id, out)}"
        )


def _by_hand(repo_id: str, out: Path) -> str:
    return (
        f"download https://huggingface.co/datasets/{repo_id} on another machine, copy its folders images and "
        f"annotations to {out}, and look at them with `landslide-tune data check {out}`"
    )
