"""``hf://owner/repo[/file]``: weights from the Hugging Face Hub, through its own client."""

from pathlib import Path

from jaxnets.errors import JaxnetsError

SCHEME = "hf://"
# What repositories call their weights, the safest format first.
FILES = ("model.safetensors", "pytorch_model.bin")


def fetch(address: str | Path) -> Path:
    """Download a file (once: the client caches it) and return where it lies.

    Args:
        address: ``hf://owner/repo/file``, or ``hf://owner/repo`` for its ``model.safetensors`` or
            ``pytorch_model.bin``. A revision stands behind the repository: ``owner/repo@v1``.

    Raises:
        JaxnetsError: the client is not installed, there is no network, or no such file.

    >>> parse("hf://timm/resnet18.tv_in1k@main/model.safetensors")
    ('timm/resnet18.tv_in1k', 'main', 'model.safetensors')
    """
    repository, revision, file = parse(str(address))
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError:
        raise JaxnetsError(
            f"{address}: needs the package huggingface_hub. Install it with "
            "pip install 'jaxnets[hub]', or download the file yourself and give its path."
        ) from None
    missing = None
    for name in (file,) if file else FILES:
        try:
            return Path(hf_hub_download(repository, name, revision=revision))
        except EntryNotFoundError as error:
            # Not in the cache and no network is an entry that was not found, too.
            missing = error
            if "Local" in type(error).__name__:
                break
        # Whatever the client and its transport raise: no network, no such repository, no access.
        except Exception as error:
            missing = error
            break
    reason = str(missing).strip().splitlines()[0] if str(missing).strip() else "no answer"
    raise JaxnetsError(
        f"{address}: could not be fetched ({type(missing).__name__}: {reason}). Without a network, "
        "download the file elsewhere and give its path."
    ) from missing


def parse(address: str) -> tuple[str, str | None, str | None]:
    """Repository, revision and file of an address."""
    parts = address.removeprefix(SCHEME).split("/", 2)
    if len(parts) < 2 or not all(parts[:2]):
        raise JaxnetsError(f"{address}: expected hf://owner/repo or hf://owner/repo/file")
    name, _, revision = parts[1].partition("@")
    return f"{parts[0]}/{name}", revision or None, parts[2] if len(parts) == 3 else None
