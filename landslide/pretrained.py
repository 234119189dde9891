"""Pretrained encoder weights as local files: which file an encoder needs, and how to get it.

The hub's own clients take half a minute to notice that there is no network, and minutes when a server
accepts and never answers. So the cache is asked first, and before a download the hub has to answer a small
request in time. No model is built here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import filelock
import huggingface_hub
import segmentation_models_pytorch as smp
import timm
from huggingface_hub import constants, get_session

from landslide.errors import ModelError, first_line
from landslide.settings import TrainSettings

#: Seconds in which the hub has to answer the first request; name resolution counts.
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class WeightFiles:
    """Where an encoder's pretrained weights live on the Hugging Face hub; the last file holds the weights."""

    repository: str
    revision: str | None
    names: tuple[str, ...]

    def cached(self) -> Path | None:
        """The local weights file, or None unless every file is in the cache. Asks no network."""
        look = huggingface_hub.try_to_load_from_cache
        found = [look(self.repository, name, revision=self.revision) for name in self.names]
        return Path(str(found[-1])) if all(isinstance(path, str) for path in found) else None


def weight_files(backbone: str, weights: str) -> WeightFiles:
    """The files of an encoder that `encoder_problems` found no fault with."""
    if backbone.startswith("tu-"):
        config = timm.models.get_pretrained_cfg(backbone.removeprefix("tu-"))
        repository, _, revision = config.hf_hub_id.partition("@")
        return WeightFiles(repository, revision or None, (config.hf_hub_filename or "model.safetensors",))
    place = smp.encoders.encoders[backbone]["pretrained_settings"][weights]
    return WeightFiles(place["repo_id"], place["revision"], ("config.json", "model.safetensors"))


def fetch_weights(settings: TrainSettings) -> Path | None:
    """The local file of the settings' pretrained weights, downloaded if necessary.

    Call it once per machine before trials start: afterwards `build_model` needs no network. Where several
    processes of a machine call it at once, one downloads and the others wait.

    Returns:
        The file, or None where the settings ask for no pretrained weights.

    Raises:
        ModelError: the file is not in the cache and the hub cannot be reached, or does not have it.
    """
    if settings.encoder_weights is None:
        return None
    files = weight_files(settings.backbone, settings.encoder_weights)
    if (path := files.cached()) is not None:
        return path
    if (silence := _why_silent()) is not None:
        raise ModelError(_missing(settings, files, silence))
    try:
        with _download_lock(files):
            if (path := files.cached()) is not None:  # another process had the lock and has fetched it
                return path
            for name in files.names:
                downloaded = huggingface_hub.hf_hub_download(files.repository, name, revision=files.revision)
    except (OSError, ValueError, RuntimeError) as error:  # the hub's errors are all one of these
        raise ModelError(_missing(settings, files, f"its download failed ({first_line(error)})")) from error
    return Path(downloaded)


def _download_lock(files: WeightFiles) -> filelock.BaseFileLock:
    """Held by the process that downloads a repository; the operating system frees it when that dies."""
    folder = Path(constants.HF_HUB_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(folder / f"{files.repository.replace('/', '--')}.landslide-tune.lock")


def _why_silent() -> str | None:
    """Why the hub cannot be asked, or None if it answers.

    In a thread, because the name resolution of the operating system knows no time-out.
    """
    answer: list[str | None] = []

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=ANSWER_SECONDS)
        except Exception as error:  # whatever the HTTP client of the day raises, the hub did not answer
            reason = f"{type(error).__name__}: {first_line(error)}"
            answer.append(f"{constants.ENDPOINT} cannot be reached ({reason})")
        else:
            answer.append(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    return answer[0] if answer else f"{constants.ENDPOINT} did not answer within {ANSWER_SECONDS:g} s"


def _missing(settings: TrainSettings, files: WeightFiles, reason: str) -> str:
    revision = f" --revision {files.revision}" if files.revision else ""
    return (
        f"encoder {settings.backbone!r} with encoder_weights {settings.encoder_weights!r} needs "
        f"{files.names[-1]} of the Hugging Face repository {files.repository}, which is not in the cache "
        f"({constants.HF_HUB_CACHE}), and {reason}; set encoder_weights to null, or fetch it where there "
        f"is a network with `hf download {files.repository} {' '.join(files.names)}{revision}` and copy "
        f"that cache (the environment variable HF_HUB_CACHE says where it is)"
    )
